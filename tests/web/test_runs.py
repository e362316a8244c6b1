"""One generation, whoever watches: nobody, many, late ones; stopped, failed, saved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from appliance.domain import GenerationRequest, Message, ReasoningDelta, ToolCallDelta
from appliance.errors import QueueFull
from appliance.gateway.identity import Caller
from appliance.web.run import Run
from appliance.web.runs import Runs
from tests.web.site import ScriptedEngine, ScriptedGateway

pytestmark = pytest.mark.anyio

REQUEST = GenerationRequest(prompt=(Message("user", "Hi"),))
ANNA = Caller(name="anna", is_admin=False, client_ip="127.0.0.1", via="key")
SECONDS = 5.0


@pytest.fixture
def gateway() -> ScriptedGateway:
    return ScriptedGateway()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def runs(gateway: ScriptedGateway, engine: ScriptedEngine) -> Runs:
    return Runs(gateway, engine)


def start(runs: Runs, keep: Callable[[Run], Awaitable[None]] | None = None) -> Run:
    async def forget(run: Run) -> None: ...

    return runs.start("run", REQUEST, ANNA, request_id="request", keep=keep or forget)


async def until(run: Run, true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        async for _ in run.changes():
            if true():
                return


async def seen(run: Run) -> list[str]:
    """What the run had said at each of its changes, to its end."""
    return [run.text async for _ in run.changes()]


async def test_it_goes_on_without_a_reader(runs: Runs, gateway: ScriptedGateway) -> None:
    gateway.script = [ReasoningDelta("hm"), "Hello", " there"]
    run = start(runs)
    await asyncio.wait_for(run.ended(), SECONDS)
    assert (run.state, run.text, run.reasoning) == ("done", "Hello there", "hm")


async def test_readers_early_and_late_see_all_of_it(runs: Runs, gateway: ScriptedGateway) -> None:
    middle = asyncio.Event()
    gateway.script = ["one ", middle, "two"]
    run = start(runs)
    early = asyncio.create_task(seen(run))
    await until(run, lambda: run.text == "one ")
    late = asyncio.create_task(seen(run))
    middle.set()
    async with asyncio.timeout(SECONDS):
        assert (await early)[0] != "one two"
        assert (await late)[0] == "one "
    after = await seen(run)
    assert [early.result()[-1], late.result()[-1], *after] == ["one two"] * 3


async def test_a_tool_call_is_shown_as_a_block_of_code(
    runs: Runs, gateway: ScriptedGateway
) -> None:
    gateway.script = [
        "Let me look.",
        ToolCallDelta(0, "call_1", "weather"),
        ToolCallDelta(0, arguments='{"city": '),
        ToolCallDelta(0, arguments='"Bern"}'),
        ToolCallDelta(1, "call_2", "time", "{}"),
        "Done.",
    ]
    run = start(runs)
    await asyncio.wait_for(run.ended(), SECONDS)
    assert run.text == (
        'Let me look.\n\n```json\nweather {"city": "Bern"}\n```\n\n'
        "\n\n```json\ntime {}\n```\n\nDone."
    )


async def test_stopping_ends_the_work_and_keeps_what_was_said(
    runs: Runs, gateway: ScriptedGateway
) -> None:
    gateway.script = ["one ", asyncio.Event(), "never"]
    saved: list[tuple[str, str]] = []

    async def keep(run: Run) -> None:
        saved.append((run.state, run.text))

    run = start(runs, keep)
    await until(run, lambda: run.text == "one ")
    run.stop()
    await asyncio.wait_for(run.ended(), SECONDS)
    assert gateway.cancelled.is_set()
    assert saved[-1] == ("stopped", "one ")


async def test_stopping_before_it_began(runs: Runs, gateway: ScriptedGateway) -> None:
    run = start(runs)
    run.stop()
    await asyncio.wait_for(run.ended(), SECONDS)
    assert run.state == "stopped"
    assert gateway.asked == []


async def test_a_refusal_is_its_end(runs: Runs, gateway: ScriptedGateway) -> None:
    gateway.script = [QueueFull("%(waiting)s requests are waiting.", waiting=3)]
    run = start(runs)
    await asyncio.wait_for(run.ended(), SECONDS)
    assert run.state == "failed"
    assert str(run.error) == "3 requests are waiting."


async def test_a_surprise_is_logged_and_told_without_details(
    runs: Runs, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script = ["one", RuntimeError("secret path")]
    with caplog.at_level(logging.ERROR):
        run = start(runs)
        await asyncio.wait_for(run.ended(), SECONDS)
    assert run.state == "failed"
    assert "secret" not in str(run.error)
    assert "secret path" in caplog.text


async def test_a_full_disk_does_not_take_the_answer_away(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(run: Run) -> None:
        raise OSError("no space left")

    with caplog.at_level(logging.ERROR):
        run = start(runs, full)
        await asyncio.wait_for(run.ended(), SECONDS)
    assert (run.state, run.text) == ("done", "Hello.")
    assert "no space left" in caplog.text


async def test_it_is_saved_now_and_then(
    runs: Runs, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.web.runs.SAVE_EVERY_SECONDS", 0.001)
    gateway.script = ["one ", asyncio.Event()]
    written: list[tuple[str, str]] = []
    saved = asyncio.Event()

    async def keep(run: Run) -> None:
        written.append((run.state, run.text))
        saved.set()

    run = start(runs, keep)
    await asyncio.wait_for(saved.wait(), SECONDS)
    assert (written[0], run.over) == (("running", "one "), False)
    await runs.close()
    assert written[-1] == ("stopped", "one ")


async def test_it_waits_for_a_model_that_is_loading(
    runs: Runs, gateway: ScriptedGateway, engine: ScriptedEngine
) -> None:
    engine.board.publish(phase="loading")
    run = start(runs)
    await until(run, lambda: True)
    await asyncio.sleep(0)
    assert gateway.asked == []
    engine.board.publish(phase="ready")
    await asyncio.wait_for(run.ended(), SECONDS)
    assert len(gateway.asked) == 1


async def test_nobody_sees_anothers_run(runs: Runs) -> None:
    run = start(runs)
    assert runs.get("run", "anna") is run
    assert runs.get("run", "bob") is None
    await runs.close()


async def test_closing_stops_and_saves_all(runs: Runs, gateway: ScriptedGateway) -> None:
    gateway.script = ["one ", asyncio.Event()]
    states: list[str] = []

    async def keep(run: Run) -> None:
        states.append(run.state)

    run = start(runs, keep)
    await until(run, lambda: run.text == "one ")
    await asyncio.wait_for(runs.close(), SECONDS)
    assert states[-1] == "stopped"


async def test_old_runs_are_forgotten_but_never_one_that_goes_on(
    runs: Runs, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.web.runs.FINISHED_RUNS_KEPT", 2)

    async def forget(run: Run) -> None: ...

    gateway.script = [asyncio.Event()]
    runs.start("going", REQUEST, ANNA, request_id="r", keep=forget)
    await asyncio.sleep(0)
    gateway.script = ["Hello."]
    for number in range(5):
        run = runs.start(str(number), REQUEST, ANNA, request_id="r", keep=forget)
        await asyncio.wait_for(run.ended(), SECONDS)
    assert runs.get("going", "anna") is not None
    assert runs.get("0", "anna") is None
    assert runs.get("4", "anna") is not None
    await runs.close()
