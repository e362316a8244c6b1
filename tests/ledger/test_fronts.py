"""Several appliances before one ledger: the living keep their rows, the dead are found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.ledger.fronts import SILENCE_SECONDS, Fronts
from appliance.ledger.recorder import Recorder
from tests.ledger.support import Cluster, Ledger

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


class House:
    """One appliance of several."""

    def __init__(self, url: str, name: str) -> None:
        self.ledger = Ledger(url)
        self.ledger.recorder = Recorder(self.ledger.writer, name)
        self.fronts = Fronts(self.ledger.writer, name)
        self.name = name
        self.closed_at_start = self.ledger.recorder.mark_interrupted()

    def falls_silent(self) -> None:
        """As if it had last been heard long ago."""
        ago = f"now() - interval '{SILENCE_SECONDS + 1} seconds'"
        self.ledger.sql(f"UPDATE front SET seen_at = {ago} WHERE name = '{self.name}'")


@contextmanager
def house(url: str, name: str) -> Iterator[House]:
    one = House(url, name)
    try:
        yield one
    finally:
        one.ledger.close()


@pytest.fixture
def url(server: Cluster) -> str:
    return server.emptied()


def states(one: House) -> list[tuple[object, ...]]:
    return one.ledger.sql("SELECT front, status, error FROM request ORDER BY id")


async def test_a_start_leaves_the_rows_of_those_who_live_alone(url: str) -> None:
    with house(url, "first") as first:
        await _answer_begins(first)
        with house(url, "second") as second:
            assert second.closed_at_start == 0
            assert await second.fronts.look() == 0
            assert states(first) == [("first", None, None)]


async def test_a_start_closes_what_the_same_appliance_left_open(url: str) -> None:
    with house(url, "first") as first:
        await _answer_begins(first)
        with house(url, "other") as other:
            await _answer_begins(other)
            with house(url, "first") as again:
                assert again.closed_at_start == 1
                assert states(again) == [("first", 500, "interrupted"), ("other", None, None)]


async def test_what_the_dead_left_open_is_closed_by_another(url: str) -> None:
    with house(url, "dead") as dead, house(url, "living") as living:
        request_id = await _answer_begins(dead)
        await _answer_begins(living)
        dead.falls_silent()
        assert await living.fronts.look() == 1
        assert states(living) == [("dead", 500, "interrupted"), ("living", None, None)]
        found = await living.ledger.queries.request(request_id, owner=None)
        assert found is not None
        assert found.generation is not None
        assert found.generation.finish_reason == "interrupted"
        assert await living.fronts.look() == 0
        # It was not dead, but away: its own end of the story counts.
        assert await dead.fronts.look() == 0
        dead.ledger.recorder.close_request(
            request_id, status=200, duration_ms=1, key_name=None, error=None
        )
        await dead.ledger.writer.drained()
        assert states(living)[0] == ("dead", 200, None)


async def test_rows_from_before_there_were_names_are_nobodys(url: str) -> None:
    with house(url, "first") as first:
        first.ledger.recorder = Recorder(first.ledger.writer)
        await _answer_begins(first)
        with house(url, "second") as second:
            assert second.closed_at_start == 1


async def _answer_begins(one: House) -> str:
    request_id = one.ledger.open_request()
    one.ledger.open_generation(request_id)
    await one.ledger.writer.drained()
    return request_id
