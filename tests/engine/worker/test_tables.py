"""What the graphs of a card read of a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch could not be had for this Python")

import torch

from appliance.engine.worker.backends.decode.graphs import sizes
from appliance.engine.worker.backends.decode.tables import Tables

PAGE, STRIDE, UNREAD = 4, 3, 7


def tables(rows: int = 4, pages: int = 5) -> tuple[Tables, dict[str, list[int]]]:
    blocks: dict[str, list[int]] = {}
    allocator = SimpleNamespace(
        tokens_per_page=PAGE,
        block_physical_stride=PAGE * STRIDE,
        write_trash_index=PAGE * UNREAD,
        block_table=blocks,
    )
    return Tables(allocator, rows, pages, torch.device("cpu")), blocks


def request(name: str, token: int, position: int, *, asks: bool = True) -> Any:
    state = SimpleNamespace(request_id=name, tokens_to_process=[token], position_offset=position)
    return SimpleNamespace(state=state, has_new_token=asks)


def test_a_step_is_told_tokens_positions_pages_and_who_wants_logits() -> None:
    step, blocks = tables()
    blocks |= {"a": [2, 5], "b": [1], "c": [3]}
    requests = [request("a", 11, 6), request("b", 12, 2, asks=False), request("c", 13, 0)]
    step.fill(requests)
    assert step.tokens[:3].tolist() == [11, 12, 13]
    assert step.positions[:3].tolist() == [6, 2, 0]
    assert (step.rows, step.wanted[: step.asked].tolist()) == (3, [0, 2])
    assert step.pages[0, :2].tolist() == [2 * STRIDE, 5 * STRIDE]
    assert [each.state.position_offset for each in requests] == [7, 3, 1]
    # Of a prompt that is still being read, nothing is to come.
    assert requests[1].state.tokens_to_process == [12]


def test_pages_follow_the_librarys_blocks() -> None:
    """One is added, and one is replaced by its like, which the library does on the spot."""
    step, blocks = tables()
    blocks["a"] = [2]
    step.fill([request("a", 1, 3)])
    blocks["a"].append(6)
    step.fill([request("a", 1, 4)])
    assert step.pages[0, :2].tolist() == [2 * STRIDE, 6 * STRIDE]
    blocks["a"][0] = 9
    step.fill([request("a", 1, 5)])
    assert step.pages[0, :2].tolist() == [9 * STRIDE, 6 * STRIDE]


def test_rows_that_are_no_longer_in_use_stand_on_a_page_that_nobody_reads() -> None:
    step, blocks = tables()
    blocks |= {"a": [2], "b": [1, 4], "c": [3]}
    step.fill([request("a", 1, 0), request("b", 2, 5), request("c", 3, 2)])
    step.fill([request("c", 4, 3)])
    assert step.pages[:, 0].tolist() == [3 * STRIDE, UNREAD, UNREAD, UNREAD]
    assert step.positions.tolist() == [3, 0, 0, 0]
    assert step.wanted.tolist() == [0, 0, 0, 0]
    step.fill([request("c", 5, 4), request("b", 6, 6)])
    assert step.pages[1, :2].tolist() == [1 * STRIDE, 4 * STRIDE]


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, [1]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (20, [1, 2, 4, 8, 16, 20])],
)
def test_there_is_a_graph_for_every_number_of_rows(most: int, expected: list[int]) -> None:
    assert list(sizes(most)) == expected
