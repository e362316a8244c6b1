"""Engines that die in the middle of an answer, under the supervisor: told, counted, back again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from appliance.domain import GenerationRequest, Sampling, TextDelta
from appliance.engine.client import EngineClient
from appliance.engine.config import EngineConfig
from appliance.engine.orders import WORKER_COMMAND, Order
from appliance.engine.posting import http_client
from appliance.engine.supervisor import Supervisor
from appliance.errors import ApplianceError, EngineFailed
from tests.engine.supervised import seen

pytestmark = pytest.mark.anyio
START_SECONDS = 90
DYING = (sys.executable, "-m", "tests.engine.worker.dying_worker")
MIB = 1024 * 1024


class Always:
    """The same order, whatever happens; `codes` are those for which another one was asked."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.codes: list[str] = []

    def first(self) -> Order:
        return self._order

    def after_failure(self, code: str) -> Order | None:
        self.codes.append(code)
        return None


@asynccontextmanager
async def supervised(
    config: EngineConfig, log: Path, command: tuple[str, ...], **environment: str
) -> AsyncIterator[tuple[Supervisor, Always]]:
    orders = Always(Order(command, config.to_json(), config.model, config.key, environment))
    engine = Supervisor(orders, log_path=log)
    await engine.start()
    try:
        status = await seen(engine, lambda s: s.phase in ("ready", "failed"), START_SECONDS)
        assert status.phase == "ready", status.reason
        yield engine, orders
    finally:
        await engine.stop()


async def read(engine: Supervisor, request: GenerationRequest, cause: Callable[[], None]) -> None:
    """An answer to its end; `cause` is called when it has begun."""
    async with http_client() as http, engine.lease() as endpoint:
        async for event in EngineClient(http).stream(endpoint, request):
            if isinstance(event, TextDelta):
                cause()


@pytest.mark.parametrize(
    ("kind", "backend", "cause", "words"),
    [
        ("card", "transformers", "crashed", "illegal memory access"),
        ("memory", "transformers", "memory", "CUDA out of memory"),
        ("library", "openvino", "crashed", "infer_request"),
    ],
)
async def test_a_library_that_fails_is_told_counted_and_loaded_anew(
    kind: str,
    backend: str,
    cause: str,
    words: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    config: EngineConfig = request.getfixturevalue(f"{backend}_config")
    fault, log = tmp_path / "fault", tmp_path / "engine.log"
    long = GenerationRequest(prompt="la la la la", sampling=Sampling(max_tokens=900, seed=1))
    async with supervised(config, log, DYING, FAULT=str(fault), KIND=kind) as (engine, orders):
        first = engine.pid
        with pytest.raises(EngineFailed, match=words):
            await read(engine, long, fault.touch)
        status = await seen(engine, lambda s: s.restarts == 1, 30)
        assert first is not None
        assert not psutil.pid_exists(first)
        (incident,) = status.incidents
        assert incident.cause == cause
        assert words in str(incident.reason)
        await seen(engine, lambda s: s.phase == "loading", 30)
        # One death says nothing about the next: it is tried as it was.
        assert orders.codes == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit that another process sets")
@pytest.mark.parametrize(
    ("backend", "wish"),
    # The tiny model needs no more for a prompt than it has had, except for scores of its tokens.
    [("openvino", {}), ("transformers", {"echo": True, "top_logprobs": 1})],
)
async def test_memory_that_runs_out_while_it_answers(
    backend: str, wish: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A real one: the operating system refuses what the next prompt needs."""
    config: EngineConfig = request.getfixturevalue(f"{backend}_config")
    log = tmp_path / "engine.log"
    prompt = GenerationRequest(prompt="word " * 900, sampling=Sampling(max_tokens=90), **wish)
    async with supervised(config, log, WORKER_COMMAND) as (engine, _):
        assert engine.pid is not None
        worker = psutil.Process(engine.pid)
        room = worker.memory_info().vms + MIB
        worker.rlimit(psutil.RLIMIT_AS, (room, room))
        with pytest.raises(ApplianceError):
            await read(engine, prompt, lambda: None)
        status = await seen(engine, lambda s: s.restarts == 1, 30)
        assert status.incidents[0].cause == "memory", status.incidents[0].reason
        await seen(engine, lambda s: s.phase == "ready", START_SECONDS)
