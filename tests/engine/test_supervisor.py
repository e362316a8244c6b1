"""The supervisor's policy, on real processes that follow a script instead of loading a model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from appliance.engine import supervisor as module
from appliance.engine.config import EngineConfig, ModelSource
from appliance.engine.orders import Order
from appliance.engine.status import EngineStatus
from appliance.engine.supervisor import Supervisor
from appliance.errors import EngineUnavailable

pytestmark = pytest.mark.anyio

READY = """
say(event="listening", port=4711)
say(event="progress", stage="load", done=1, total=4)
say(event="ready", facts=dict(model=order["model"], backend="openvino", engine_version="1",
    precision="gguf", context_length=100, kv_tokens=100, max_concurrency=2, capabilities=[]))
"""
PRELUDE = """
import json, os, pathlib, sys
order = json.loads(sys.stdin.readline())
def say(**event): print(json.dumps(event), flush=True)
"""


class Choices:
    """The given models, one after the other."""

    def __init__(self, *models: str) -> None:
        self._models = models
        self._at = 0

    def first(self) -> Order:
        self._at = 0
        return self._order()

    def after_failure(self, code: str) -> Order | None:
        self._at += 1
        return self._order() if self._at < len(self._models) else None

    def _order(self) -> Order:
        config = EngineConfig(
            backend="openvino",
            model=self._models[self._at],
            source=ModelSource("gguf", "none"),
            precision="gguf",
            context_length=100,
            kv_tokens=100,
            max_concurrency=2,
            key="k",
            cache_dir=".",
        )
        return Order(config, {"TEST_COLOUR": "blue"})


Make = Callable[..., Supervisor]


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    made = []

    def start(script: str, *models: str) -> Supervisor:
        command = (sys.executable, "-c", PRELUDE + script)
        log = tmp_path / "logs" / "engine.log"
        made.append(Supervisor(Choices(*models or ("big",)), log_path=log, command=command))
        return made[-1]

    yield start
    for one in made:
        await one.stop()


async def seen(
    supervisor: Supervisor, wanted: Callable[[EngineStatus], bool], seconds: float = 10
) -> EngineStatus:
    async with asyncio.timeout(seconds):
        async for status in supervisor.changes():
            if wanted(status):
                return status
    raise AssertionError


async def test_it_tells_the_progress_and_then_where_to_send_work(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()")
    with pytest.raises(EngineUnavailable):
        engine.endpoint()
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    endpoint = engine.endpoint()
    assert status.facts is not None
    assert (endpoint.url, endpoint.key, endpoint.model) == ("http://127.0.0.1:4711/v1", "k", "big")


async def test_while_loading_the_refusal_says_how_far_it_is(make: Make) -> None:
    engine = make('say(event="progress", stage="load", done=1, total=4)\nsys.stdin.read()')
    await engine.start()
    await seen(engine, lambda s: s.phase == "loading")
    with pytest.raises(EngineUnavailable, match="25 %") as caught:
        engine.endpoint()
    assert caught.value.retry_after


async def test_the_order_and_its_environment_reach_the_process(make: Make) -> None:
    script = 'say(event="failed", code="x", message=os.environ["TEST_COLOUR"] + order["key"])'
    engine = make(script)
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed")
    assert "bluek" in str(status.reason)


async def test_a_model_that_cannot_load_gives_way_to_the_next_and_says_so(make: Make) -> None:
    failing = """
if order["model"] == "big":
    say(event="failed", code="hub_unreachable", message="no route")
    sys.exit(1)
"""
    engine = make(failing + READY + "sys.stdin.read()", "big", "small")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    assert status.facts is not None
    assert status.facts.model == "small"
    assert "big" in str(status.notice)
    assert "hub cannot be reached" in str(status.notice)


async def test_a_load_that_fails_for_good_shows_the_reason_and_can_be_tried_again(
    make: Make, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    failing = f"""
if not pathlib.Path({str(mended)!r}).exists():
    say(event="failed", code="model_corrupt", message="hash is wrong")
    sys.exit(1)
"""
    engine = make(failing + READY + "sys.stdin.read()")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed")
    assert "hash is wrong" in str(status.reason)
    with pytest.raises(EngineUnavailable, match="hash is wrong"):
        engine.endpoint()
    mended.touch()
    await engine.restart()
    await seen(engine, lambda s: s.phase == "ready")


async def test_a_killed_engine_comes_back_and_is_counted(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    assert engine.pid is not None
    psutil.Process(engine.pid).kill()
    status = await seen(engine, lambda s: s.phase == "restarting")
    assert "killed" in str(status.reason)
    status = await seen(engine, lambda s: s.phase == "ready")
    assert status.restarts == 1


async def test_one_that_keeps_dying_is_given_up_with_its_last_words(make: Make) -> None:
    engine = make('sys.exit("no such instruction")')
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed")
    assert "no such instruction" in str(status.reason)
    assert status.restarts == module.MAX_DEATHS


async def test_stopping_ends_the_process_even_one_that_does_not_listen(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.engine.process.END_SECONDS", 0.2)
    engine = make(READY + "import threading; threading.Event().wait()")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    pid = engine.pid
    assert pid is not None
    await engine.stop()
    assert not psutil.pid_exists(pid)
    assert engine.status.phase == "stopped"
    await engine.stop()


async def test_a_missing_program_is_a_reason(tmp_path: Path, make: Make) -> None:
    engine = Supervisor(Choices("big"), log_path=tmp_path / "log", command=("/no/such/program",))
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed")
    assert "cannot be started" in str(status.reason)
    await engine.stop()
