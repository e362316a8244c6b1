"""Whose prompt is read when, and how much of it: no model, no clock."""

from __future__ import annotations

from collections.abc import Callable

from appliance.engine.worker.backends.openvino_prefill import Prefill, PrefillLane
from appliance.engine.worker.prefix_index import PrefixIndex

BLOCK = 32


class Lane:
    """A lane, and a cache that holds everything it has read, up to `capacity` blocks."""

    def __init__(self, capacity: int = 1000) -> None:
        self.index = PrefixIndex(BLOCK, capacity)
        self.lane: PrefillLane[str] = PrefillLane(self.index, BLOCK)

    def add(self, owner: str, length: int) -> Prefill[str]:
        tokens = [ord(owner[0])] * length
        prefill = Prefill(owner, length, self.index.chain(tokens))
        self.lane.add(prefill)
        return prefill

    def read(
        self, budget: int, may_begin: Callable[[str], bool] = lambda _: True
    ) -> list[tuple[str, int, int]]:
        turns = self.lane.turns(budget, may_begin)
        for turn in turns:
            self.index.remember(turn.prefill.chain[: turn.end // BLOCK])
        return [(turn.prefill.owner, turn.start, turn.end) for turn in turns]


def test_long_prompt_is_read_in_pieces_of_whole_blocks() -> None:
    lane = Lane()
    lane.add("long", 100)
    assert lane.read(70) == [("long", 0, 64)]
    assert lane.read(10) == [("long", 64, 96)]  # one block at least
    assert lane.read(10) == [("long", 96, 100)]
    assert not lane.lane
    assert lane.read(10) == []


def test_short_prompts_pass_a_long_one_and_share_a_step() -> None:
    lane = Lane()
    lane.add("long", 1000)
    assert lane.read(64) == [("long", 0, 64)]
    lane.add("a", 20)
    lane.add("b", 20)
    assert lane.read(64) == [("long", 64, 128)]
    assert lane.read(64) == [("a", 0, 20), ("b", 0, 20)]
    assert lane.read(64) == [("long", 128, 192)]


def test_two_long_prompts_take_turns() -> None:
    lane = Lane()
    lane.add("a", 200)
    lane.add("b", 200)
    owners = [turn[0] for _ in range(8) for turn in lane.read(64)]
    assert owners == ["a", "b", "a", "b", "a", "b", "a", "b"]
    assert not lane.lane


def test_cached_prompt_costs_its_last_token() -> None:
    lane = Lane()
    lane.add("a", 64)
    lane.read(128)
    lane.add("a", 64)
    assert lane.read(128) == [("a", 63, 64)]


def test_form_that_may_not_begin_keeps_its_place() -> None:
    lane = Lane()
    lane.add("form", 20)
    lane.add("plain", 20)
    assert lane.read(64, lambda owner: owner != "form") == [("plain", 0, 20)]
    assert lane.read(64) == [("form", 0, 20)]


def test_direct_prompt_is_read_alone() -> None:
    lane = Lane()
    lane.add("a", 20)
    lane.add("d", 1000).direct = True
    lane.add("b", 20)
    assert lane.read(64) == [("a", 0, 20)]
    assert lane.read(64) == [("d", 0, 1000)]
    assert lane.read(64) == [("b", 0, 20)]


def test_removed_prompt_has_no_turn() -> None:
    lane = Lane()
    lane.add("a", 1000)
    lane.read(64)
    lane.lane.remove("a")
    lane.lane.remove("never there")
    assert lane.read(64) == []
