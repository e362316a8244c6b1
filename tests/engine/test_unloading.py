"""Unloading by hand and by idleness, on real processes that follow a script."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from appliance.engine import lives
from appliance.engine import supervisor as module
from appliance.errors import EngineUnavailable
from tests.engine.supervised import READY, Make, seen

pytestmark = pytest.mark.anyio


async def test_unloading_waits_for_running_answers_and_refuses_new_ones(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    pid = engine.pid
    assert pid is not None
    async with engine.lease() as endpoint:
        assert endpoint.model == "big"
        await engine.unload()
        with pytest.raises(EngineUnavailable, match="engine load") as caught:
            async with engine.lease():
                pass
        assert caught.value.retry_after == 60
        assert engine.status.phase == "unloading"
        assert psutil.pid_exists(pid)
    status = await seen(engine, lambda s: s.phase == "unloaded")
    assert not psutil.pid_exists(pid)
    assert (engine.pid, status.facts, status.on_demand) == (None, None, False)
    with pytest.raises(EngineUnavailable):
        engine.endpoint()
    await engine.load()
    await seen(engine, lambda s: s.phase == "ready")
    assert engine.status.restarts == 0


async def test_answers_that_do_not_end_are_not_waited_for_for_ever(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.05)
    engine = make(READY + "sys.stdin.read()")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    async with engine.lease():
        await engine.unload()
        await seen(engine, lambda s: s.phase == "unloaded")
        assert engine.pid is None


async def test_unloading_cuts_a_load_short(make: Make) -> None:
    engine = make('say(event="progress", stage="download", done=1, total=4)\nsys.stdin.read()')
    await engine.start()
    await seen(engine, lambda s: s.phase == "loading")
    await engine.unload()
    await seen(engine, lambda s: s.phase == "unloaded")
    assert engine.pid is None


async def test_an_idle_engine_is_unloaded_and_loads_for_whoever_asks(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()", idle_seconds=0.05)
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "unloaded")
    assert status.on_demand
    assert status.facts is not None
    assert "next request loads" in str(status.reason)

    async def ask() -> str:
        async with engine.lease() as endpoint:
            return endpoint.model

    assert list(await asyncio.gather(ask(), ask(), ask())) == ["big"] * 3
    # It rests again, and again wakes.
    await seen(engine, lambda s: s.phase == "unloaded")
    assert await ask() == "big"
    assert engine.status.restarts == 0


async def test_an_engine_in_use_is_not_idle(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()", idle_seconds=0.05)
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    async with engine.lease():
        with pytest.raises(TimeoutError):
            await seen(engine, lambda s: s.phase != "ready", seconds=0.3)
    await seen(engine, lambda s: s.phase == "unloaded")


async def test_unloaded_by_hand_does_not_load_by_itself(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()", idle_seconds=0.05)
    await engine.start()
    await seen(engine, lambda s: s.phase == "unloaded")
    await engine.unload()
    assert not engine.status.on_demand
    with pytest.raises(EngineUnavailable):
        async with engine.lease():
            pass
    assert engine.status.phase == "unloaded"


async def test_who_waits_for_an_engine_that_cannot_load_is_told_why(
    make: Make, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    failing = f"""
if pathlib.Path({str(broken)!r}).exists():
    say(event="failed", code="model_corrupt", message="hash is wrong")
    sys.exit(1)
"""
    engine = make(failing + READY + "sys.stdin.read()", idle_seconds=0.05)
    await engine.start()
    await seen(engine, lambda s: s.phase == "unloaded")
    broken.touch()
    with pytest.raises(EngineUnavailable, match="hash is wrong"):
        async with engine.lease():
            pass


async def test_waiting_for_a_load_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAKE_SECONDS", 0.1)
    engine = make(READY + "sys.stdin.read()", idle_seconds=0.05)
    await engine.start()
    await seen(engine, lambda s: s.phase == "unloaded")
    monkeypatch.setattr(lives.Lives, "run", lambda self: asyncio.Event().wait())
    with pytest.raises(EngineUnavailable, match="being loaded") as caught:
        async with engine.lease():
            pass
    assert caught.value.retry_after
