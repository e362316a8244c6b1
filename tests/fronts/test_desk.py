"""An engine that is lent line by line: held, woken, refused and counted as in the first front."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from appliance.domain import Phrase, Sampling, Timings, Usage
from appliance.engine.status import EngineStatus, Incident
from appliance.engine.supervisor import BY_HAND, Supervisor
from appliance.errors import EngineUnavailable, InvalidRequest
from appliance.fronts.__main__ import _hear
from appliance.fronts.app import ToldMetrics, ToldRecorder
from appliance.fronts.desk import Desk
from appliance.fronts.lent import LentEngine
from appliance.fronts.lent_meter import LentMeter
from appliance.fronts.lines import STATUS, read, shown, written
from appliance.gateway.energy import EnergyMeter, ReadJoules
from appliance.ledger.ids import new_id
from appliance.observability.readings import LedgerReading
from appliance.observability.seen import GenerationSeen, RequestSeen
from appliance.parts import Parts, make_parts
from appliance.settings import load_settings
from tests.engine.supervised import PRELUDE, READY, Choices, seen
from tests.waiting import until

pytestmark = pytest.mark.anyio


@dataclass
class Pair:
    """A first front's engine and parts, and a further front that hears of them."""

    engine: Supervisor
    parts: Parts
    desk: Desk
    lent: LentEngine
    energy: EnergyMeter
    meter: LentMeter
    tell: Callable[..., None]


@asynccontextmanager
async def paired(
    folder: Path, idle_seconds: float | None = None, read_joules: ReadJoules | None = None
) -> AsyncIterator[Pair]:
    choices = Choices((sys.executable, "-c", PRELUDE + READY + "sys.stdin.read()"), "big")
    engine = Supervisor(choices, log_path=folder / "engine.log", idle_seconds=idle_seconds)
    parts = make_parts(load_settings({"data_dir": folder}, {}), engine, places=1)
    parts.database.migrate()

    def tell(**words: Any) -> None:
        desk.take(written(**words))

    lent, meter, energy = LentEngine(tell), LentMeter(), EnergyMeter(read_joules, every=0.01)

    def tell_back(**words: Any) -> None:
        _hear(lent, meter, read(written(**words)))

    desk = Desk(engine, parts.monitor, energy, tell_back)
    telling = asyncio.create_task(desk.tell_status())
    await engine.start()
    try:
        yield Pair(engine, parts, desk, lent, energy, meter, tell)
    finally:
        telling.cancel()
        await desk.close()
        await engine.stop()
        await parts.http.aclose()
        parts.writer.close()
        parts.database.close()


async def test_unloading_waits_for_the_answers_of_a_further_front(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        await seen(pair.lent, lambda s: s.phase == "ready")
        assert pair.lent.status == pair.engine.status
        async with pair.lent.lease() as endpoint:
            assert endpoint == pair.engine.endpoint()
            await pair.engine.unload()
            with pytest.raises(EngineUnavailable, match="engine load"):
                async with pair.lent.lease():
                    pass
            assert pair.engine.status.phase == pair.lent.status.phase == "unloading"
        await seen(pair.lent, lambda s: s.phase == "unloaded")


async def test_a_further_fronts_answers_keep_an_engine_from_idling_and_wake_it(
    tmp_path: Path,
) -> None:
    async with paired(tmp_path, idle_seconds=0.05) as pair:
        await seen(pair.lent, lambda s: s.phase == "unloaded")
        assert pair.lent.status.on_demand
        async with pair.lent.lease() as endpoint:
            assert endpoint.model == "big"
            with pytest.raises(TimeoutError):
                await seen(pair.engine, lambda s: s.phase != "ready", seconds=0.3)
        await seen(pair.lent, lambda s: s.phase == "unloaded")


async def test_a_front_that_dies_gives_back_what_it_was_lent(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        await seen(pair.lent, lambda s: s.phase == "ready")
        async with pair.lent.lease():
            await pair.engine.unload()
            assert pair.engine.status.phase == "unloading"
            await pair.desk.close()
            gone = await seen(pair.engine, lambda s: s.phase == "unloaded")
        assert gone.reason == BY_HAND


async def test_who_stops_waiting_for_a_lease_is_forgotten(tmp_path: Path) -> None:
    async with paired(tmp_path, idle_seconds=0.05) as pair:
        await seen(pair.lent, lambda s: s.phase == "unloaded")

        async def ask() -> None:
            async with pair.lent.lease():
                raise AssertionError("nobody waits for it")

        asking = asyncio.create_task(ask())
        await seen(pair.lent, lambda s: s.phase != "unloaded")
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        await seen(pair.engine, lambda s: s.phase == "ready")
        rested = await seen(pair.engine, lambda s: s.phase == "unloaded")
        assert rested.on_demand
        assert pair.desk._leases == {}


async def test_a_hash_that_nobody_was_woken_for_comes_with_the_next_answer(
    tmp_path: Path,
) -> None:
    async with paired(tmp_path) as pair:
        await seen(pair.lent, lambda s: s.phase == "ready")
        pair.engine._board.note_hash("abc")
        async with pair.lent.lease():
            facts = pair.lent.status.facts
            assert facts is not None
            assert facts.model_hash == "abc"


class Card:
    """Uses a hundred joules a second from the first look on."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def __call__(self) -> float:
        return 100 * (time.perf_counter() - self.began)


async def test_energy_is_shared_with_whoever_runs_at_another_front(tmp_path: Path) -> None:
    card = Card()
    async with paired(tmp_path, read_joules=card) as pair:
        await seen(pair.lent, lambda s: s.phase == "ready")
        async with pair.lent.lease():
            await until(lambda: pair.meter.end(0.0) is not None)
            alone, before = pair.meter.begin(), card()
            await asyncio.sleep(0.3)
            both, here, between = pair.meter.begin(), pair.energy.begin(), card()
            await asyncio.sleep(0.3)
            shares, after = (pair.meter.end(both), pair.energy.end(here)), card()
            whole = pair.meter.end(alone)
        assert whole is not None
        assert None not in shares
        # Alone it has all of it, and half beside another.
        assert whole == pytest.approx(between - before + (after - between) / 2, rel=0.2)
        for share in shares:
            assert share == pytest.approx((after - between) / 2, rel=0.2)
        await until(lambda: pair.meter._watts == 0)
        rest = pair.meter.begin()
        await asyncio.sleep(0.5)
        assert pair.meter.end(rest) == 0, "nobody runs, and nothing is assumed for ever"


async def test_without_a_counter_there_is_no_energy_anywhere(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        await seen(pair.lent, lambda s: s.phase == "ready")
        async with pair.lent.lease():
            mark = pair.meter.begin()
            await asyncio.sleep(0.05)
            assert pair.meter.end(mark) is None


async def test_orders_are_the_first_fronts_alone(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        for order in (pair.lent.restart, pair.lent.unload, pair.lent.load):
            with pytest.raises(InvalidRequest, match="first front"):
                await order()


async def test_what_a_further_front_has_seen_is_counted_and_outlives_it(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        told, monitor = ToldMetrics(pair.tell), pair.parts.monitor
        told.request(RequestSeen(method="POST", route="/generate", status=200, seconds=0.1))
        told.generation(
            GenerationSeen(
                id="1",
                operation="chat",
                model="big",
                provider="openvino",
                sampling=Sampling(temperature=0.5, stop=("a", "b")),
                usage=Usage(prompt_tokens=3, completion_tokens=4),
                timings=Timings(queue_ms=1, ttft_ms=2, duration_ms=3),
                finish_reason="stop",
                error=None,
                cache="unused",
                started_at=1.0,
                context=None,
            )
        )
        pair.tell(serving=True)
        pair.tell(ledger=LedgerReading(waiting=2, lost=3, failing=True, error="full"))
        assert (monitor.fronts, monitor.ledger.lost, monitor.ledger.error) == (2, 3, "full")
        assert monitor.ledger.failing
        await pair.desk.close()
        assert (monitor.fronts, monitor.ledger.lost, monitor.ledger.failing) == (1, 3, False)
        assert monitor.metrics.finished.series() == [(("chat", "openvino", "big", "stop"), 1)]
        ((_, requests),) = monitor.metrics.http.series()
        assert sum(requests.counts) == 1


async def test_rows_that_a_dead_front_left_open_are_closed(tmp_path: Path) -> None:
    """And nobody else's."""
    async with paired(tmp_path) as pair:
        recorder = ToldRecorder(pair.parts.writer, None, pair.tell)
        lost, done, other = new_id(), new_id(), new_id()
        row: dict[str, Any] = {"created_at": datetime.now(UTC), "method": "POST", "path": "/x"}
        row |= {"client_ip": "", "user_agent": ""}
        for name in (lost, done):
            recorder.open_request(id=name, **row)
        recorder.close_request(done, status=200, duration_ms=1.0, key_name=None)
        pair.parts.recorder.open_request(id=other, **row)
        pair.parts.recorder.mark_cut_off(pair.desk.may_be_open)
        await pair.parts.writer.drained()
        with pair.parts.database.reading() as session:
            rows = session.connection().execute(text("select id, status, error from request"))
            found = {name: (status, error) for name, status, error in rows}
        assert found == {lost: (500, "interrupted"), done: (200, None), other: (None, None)}


def test_a_sentence_in_a_sentence_is_read_whole_at_the_other_end() -> None:
    inner = Phrase("the %(what)s is full", {"what": "disk"})
    reason = Phrase("%(wanted)s failed: %(reason)s (%(error)s)", {"wanted": "a", "reason": inner})
    reason = Phrase(reason.template, {**reason.values, "error": OSError("no room")})
    now = datetime.now(UTC)
    status = EngineStatus(
        phase="failed", since=now, reason=reason, incidents=(Incident(now, "killed", reason),)
    )
    told = STATUS.validate_python(read(written(engine=shown(status)))["engine"])
    assert str(told.reason) == str(reason) == str(told.incidents[0].reason)
    assert (told.phase, told.since) == ("failed", now)


async def test_a_line_that_makes_no_sense_is_no_end_of_the_world(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        pair.tell(unknown=1)
        pair.tell(release=99)
        await until(lambda: pair.lent.status.phase == "ready")
