"""vLLM as a supervised child, on a scripted server that is started as vLLM is."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from appliance.domain import GenerationRequest, TextDelta
from appliance.engine import lives
from appliance.engine.client import Completed, EngineClient
from appliance.engine.config import ModelSource
from appliance.engine.kv_usage import kv_usage
from appliance.engine.orders import Order
from appliance.engine.posting import http_client
from appliance.engine.supervisor import Supervisor
from appliance.engine.vllm import vllm_order
from tests.engine.supervised import seen
from tests.engine.vllm_parts import CARD
from tests.scripted_engine import KEY, MODEL
from tests.waiting import until

# --- A child that stands for vLLM ---------------------------------------------------------------

SCRIPTED = f"{shlex.quote(sys.executable)} -m tests.engine.scripted_vllm"


class Once:
    """One order, and perhaps a second."""

    def __init__(self, *orders: Order) -> None:
        self._orders = orders
        self.codes: list[str] = []

    def first(self) -> Order:
        return self._orders[0]

    def after_failure(self, code: str) -> Order | None:
        self.codes.append(code)
        return self._orders[1] if len(self.codes) < len(self._orders) else None


def order(model: str | Path) -> Order:
    source = ModelSource("folder", str(model))
    config = replace(CARD, model=MODEL, source=source, key=KEY)
    return vllm_order(config, {}, SCRIPTED)


def core_in(log: Path) -> psutil.Process:
    (*_, pid) = re.findall(r"core is (\d+)", log.read_text())
    return psutil.Process(int(pid))


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


Make = Callable[..., Supervisor]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "engine.log"


@pytest.fixture
async def make(log: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(lives, "FIRST_PAUSE_SECONDS", 0.01)
    made: list[Supervisor] = []

    def start(*models: str | Path) -> Supervisor:
        made.append(Supervisor(Once(*map(order, models)), log_path=log))
        return made[-1]

    yield start
    for one in made:
        await one.stop()


@pytest.mark.anyio
async def test_it_serves_says_what_it_became_and_leaves_nothing_behind(
    make: Make, log: Path
) -> None:
    engine = make("good")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready", 30)
    facts = status.facts
    assert facts is not None
    assert (facts.backend, facts.engine_version) == ("vllm", "0.32.0")
    assert (facts.context_length, facts.kv_tokens) == (1234, 16 * 512)
    assert "tool_calls" in facts.capabilities
    async with http_client() as http, engine.lease() as endpoint:
        request = GenerationRequest(prompt="say A B")
        events = [event async for event in EngineClient(http).stream(endpoint, request)]
        assert await kv_usage(http, endpoint) == 0.5
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "A B "
    assert isinstance(events[-1], Completed)
    core = core_in(log)
    await engine.stop()
    await until(lambda: is_gone(core))


@pytest.mark.anyio
async def test_its_progress_is_told(make: Make, tmp_path: Path) -> None:
    gate = tmp_path / "slow"
    engine = make(gate)
    await engine.start()
    status = await seen(engine, lambda s: s.percent == 50, 30)
    assert status.stage == "load"
    gate.touch()
    await seen(engine, lambda s: s.phase == "ready", 30)


@pytest.mark.anyio
async def test_too_little_memory_leads_to_the_next_order_with_the_reason(make: Make) -> None:
    engine = make("oom", "good")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready", 30)
    assert "less than desired GPU memory" in str(status.notice)
    assert status.restarts == 0


@pytest.mark.anyio
async def test_a_killed_server_is_counted_and_comes_back(make: Make, log: Path) -> None:
    engine = make("good")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready", 30)
    assert engine.pid is not None
    core = core_in(log)
    (server,) = psutil.Process(engine.pid).children()
    server.kill()
    status = await seen(engine, lambda s: s.restarts == 1 and s.phase == "ready", 30)
    assert status.incidents[0].cause == "killed"
    assert is_gone(core)


@pytest.mark.anyio
async def test_a_killed_harness_takes_the_server_with_it(make: Make, log: Path) -> None:
    engine = make("good")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready", 30)
    assert engine.pid is not None
    (server,) = psutil.Process(engine.pid).children()
    os.kill(engine.pid, signal.SIGKILL)
    await seen(engine, lambda s: s.restarts == 1, 30)
    await until(lambda: is_gone(server))


@pytest.mark.anyio
async def test_a_program_that_is_not_there_is_a_reason(log: Path) -> None:
    engine = Supervisor(Once(vllm_order(CARD, {}, "/no/such/vllm")), log_path=log)
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed", 30)
    assert "--vllm-command" in str(status.reason)
    await engine.stop()


def test_a_front_that_dies_leaves_no_orphan(tmp_path: Path) -> None:
    """The pipe closes, whoever held it; a server that is deaf to SIGTERM ends all the same."""
    made = order("deaf")
    log = tmp_path / "log"
    with log.open("wb") as errors:
        harness = subprocess.Popen(
            made.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | made.environment,
            start_new_session=True,
        )
    assert harness.stdin is not None
    assert harness.stdout is not None
    harness.stdin.write(made.first_line.encode() + b"\n")
    harness.stdin.flush()
    for line in harness.stdout:
        if b'"ready"' in line:
            break
    (server,) = psutil.Process(harness.pid).children()
    core = core_in(log)
    harness.stdin.close()
    harness.wait(20)
    harness.stdout.close()
    asyncio.run(until(lambda: is_gone(server) and is_gone(core)))
