"""The way of a request, on a scripted engine and a real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import Session, select

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Finished,
    GenerationRequest,
    Message,
    Sampling,
    TextDelta,
)
from appliance.engine.client import EngineClient, http_client
from appliance.engine.remote import RemoteEngine
from appliance.errors import EngineFailed, EngineUnavailable, InvalidRequest, QueueFull, RateLimited
from appliance.gateway.gateway import Gateway
from appliance.gateway.identity import Caller
from appliance.gateway.limits import RateLimits
from appliance.gateway.queue import FairQueue
from appliance.ledger.database import Database
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder
from appliance.ledger.tables import GenerationRecord
from appliance.ledger.writer import Writer
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine
from tests.waiting import until

pytestmark = pytest.mark.anyio

ANNA = Caller(name="anna", is_admin=False, client_ip="10.0.0.9", via="key")


@pytest.fixture(scope="module")
def script() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running:
        yield running


class House:
    """A gateway with everything below it; `ask` runs one request to its end."""

    def __init__(self, engine: RemoteEngine, client: EngineClient, database: Database) -> None:
        self.engine = engine
        self.database = database
        self.writer = Writer(database)
        self.recorder = Recorder(self.writer)
        self.queue = FairQueue(slots=1, limit=1)
        self.gateway = self._gateway(client)
        self._client = client

    def _gateway(self, client: EngineClient, **changes: object) -> Gateway:
        parts = {
            "engine": self.engine,
            "client": client,
            "limits": RateLimits(None),
            "queue": self.queue,
            "log": self.recorder,
        }
        return Gateway(**(parts | changes))  # type: ignore[arg-type]

    def with_parts(self, **changes: object) -> House:
        self.gateway = self._gateway(self._client, **changes)
        return self

    def run(self, text: str, caller: Caller = ANNA):  # type: ignore[no-untyped-def]
        request_id = new_id()
        self.recorder.open_request(
            id=request_id,
            created_at=datetime.now(UTC),
            method="POST",
            path="/generate",
            client_ip="10.0.0.9",
            user_agent="test",
        )
        request = GenerationRequest(
            prompt=(Message("user", text),), sampling=Sampling(temperature=0.5)
        )
        return self.gateway.run(request, caller, request_id=request_id)

    async def ask(self, text: str) -> list[object]:
        async with aclosing(self.run(text)) as events:
            return [event async for event in events]

    async def rows(self) -> list[GenerationRecord]:
        await self.writer.drained()

        def query(session: Session) -> list[GenerationRecord]:
            return list(session.exec(select(GenerationRecord).order_by(GenerationRecord.id)))

        return await self.database.read(query)


@pytest.fixture
async def house(script: ScriptedEngine, tmp_path: Path) -> AsyncIterator[House]:
    database = Database(f"sqlite:///{(tmp_path / 'appliance.db').as_posix()}")
    database.migrate()
    async with http_client() as http:
        engine = RemoteEngine(
            url=script.url, key=KEY, model="auto", context_length=100, max_concurrency=1
        )
        await engine.start()
        async with asyncio.timeout(10):
            async for status in engine.changes():
                if status.phase == "ready":
                    break
        made = House(engine, EngineClient(http), database)
        yield made
        await engine.stop()
    made.writer.close()
    database.close()


async def test_an_answer_and_its_row(house: House) -> None:
    first, *deltas, last = await house.ask("say one two")
    assert isinstance(first, Admitted)
    assert first.cached_from is None
    assert deltas == [TextDelta("one "), TextDelta("two "), ChoiceFinished("stop")]
    assert isinstance(last, Finished)
    (row,) = await house.rows()
    assert row.id == first.generation_id
    assert (row.model, row.engine) == ("scripted", "remote")
    assert row.input == [{"role": "user", "content": "say one two"}]
    assert row.parameters == {"temperature": 0.5}
    assert (row.output, row.finish_reason, row.error) == ("one two ", "stop", None)
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 3, 2)
    assert row.queue_ms is not None
    assert row.ttft_ms is not None
    assert row.duration_ms is not None
    assert 0 <= row.queue_ms <= row.ttft_ms <= row.duration_ms


async def test_a_refusal_by_the_engine_comes_before_the_first_event_and_has_a_row(
    house: House,
) -> None:
    with pytest.raises(InvalidRequest):
        await anext(house.run("refuse 400"))
    (row,) = await house.rows()
    assert (row.finish_reason, row.error) == ("error", "refused with 400")


async def test_a_break_in_the_middle_keeps_what_was_said(house: House) -> None:
    with pytest.raises(EngineFailed):
        await house.ask("die")
    (row,) = await house.rows()
    assert (row.output, row.finish_reason) == ("die ", "error")
    assert "stopped in the middle" in str(row.error)


async def test_closing_cancels_the_engine_frees_the_place_and_keeps_the_text(
    house: House, script: ScriptedEngine
) -> None:
    script.left.clear()
    async with aclosing(house.run("wait")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert script.left.wait(5)
    assert house.queue.running == 0
    (row,) = await house.rows()
    assert (row.output, row.finish_reason, row.error) == ("wait ", "cancelled", None)


async def test_a_cancelled_task_is_a_cancelled_generation(
    house: House, script: ScriptedEngine
) -> None:
    script.started.clear()
    task = asyncio.create_task(house.ask("wait"))
    await until(script.started.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (row,) = await house.rows()
    assert row.finish_reason == "cancelled"
    assert house.queue.running == 0


async def test_waiting_is_measured_and_beyond_the_queue_is_refused_with_a_row(
    house: House, script: ScriptedEngine
) -> None:
    script.release.clear()
    script.started.clear()
    running = asyncio.create_task(house.ask("wait"))
    await until(script.started.is_set)
    waiting = asyncio.create_task(house.ask("say later"))
    await until(lambda: house.queue.waiting)
    with pytest.raises(QueueFull):
        await anext(house.run("say never"))
    script.release.set()
    await asyncio.gather(running, waiting)
    script.release.clear()
    first, later, never = await house.rows()
    assert (later.queue_ms or 0) > (first.queue_ms or 0)
    assert "already waiting" in str(never.error)


async def test_a_used_up_limit_never_reaches_the_engine(
    house: House, script: ScriptedEngine
) -> None:
    house.with_parts(limits=RateLimits("1/minute"))
    await house.ask("say one")
    before = len(script.bodies)
    with pytest.raises(RateLimited):
        await anext(house.run("say two"))
    assert len(script.bodies) == before
    assert [row.finish_reason for row in await house.rows()] == ["stop", "error"]


async def test_an_engine_that_is_not_there_refuses_and_has_a_row(house: House) -> None:
    await house.engine.stop()
    with pytest.raises(EngineUnavailable):
        await anext(house.run("say x"))
    (row,) = await house.rows()
    assert row.finish_reason == "error"


async def test_metadata_only_keeps_the_numbers_and_no_word(house: House) -> None:
    house.with_parts(log_content="metadata")
    await house.ask("say secret")
    (row,) = await house.rows()
    assert "secret" not in f"{row.input}{row.output}{row.reasoning}"
    assert row.completion_tokens == 1
