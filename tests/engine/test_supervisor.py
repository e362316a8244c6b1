"""The supervisor's policy, on real processes that follow a script instead of loading a model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from appliance.engine import lives, watchdog
from appliance.engine.supervisor import Supervisor
from appliance.errors import EngineUnavailable
from tests.engine.supervised import READY, Choices, Make, seen
from tests.live import free_port

pytestmark = pytest.mark.anyio


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
    assert status.restarts == lives.MAX_DEATHS


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
    engine = Supervisor(Choices(("/no/such/program",), "big"), log_path=tmp_path / "log")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed")
    assert "cannot be started" in str(status.reason)
    await engine.stop()


async def test_each_death_is_kept_with_its_cause(make: Make) -> None:
    engine = make(READY + "sys.stdin.read()")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    await seen(engine, lambda s: s.restarts == 1 and s.phase == "ready")
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGABRT)
    status = await seen(engine, lambda s: s.restarts == 2 and s.phase == "ready")
    assert [one.cause for one in status.incidents] == ["killed", "crashed"]


async def test_one_killed_twice_while_loading_gives_way_to_something_smaller(make: Make) -> None:
    killed = """
if order["model"] == "big":
    os.kill(os.getpid(), 9)
"""
    engine = make(killed + READY + "sys.stdin.read()", "big", "small")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    assert status.facts is not None
    assert status.facts.model == "small"
    assert status.restarts == lives.MAX_DEATHS_FOR_MEMORY
    assert "memory ran out" in str(status.notice)


async def test_memory_that_runs_out_twice_gives_way_to_something_smaller(make: Make) -> None:
    dying = """
if order["model"] == "big":
    say(event="died", out_of_memory=True, message="CUDA out of memory")
    sys.exit(1)
"""
    engine = make(READY + dying + "sys.stdin.read()", "big", "small")
    await engine.start()
    status = await seen(engine, lambda s: s.facts is not None and s.facts.model == "small")
    assert [one.cause for one in status.incidents] == ["memory", "memory"]
    assert "CUDA out of memory" in str(status.notice)


async def test_what_else_it_dies_of_while_it_serves_changes_no_plan(make: Make) -> None:
    """A smaller model would not have been spared."""
    dying = 'say(event="died", out_of_memory=False, message="device-side assert")\nsys.exit(1)'
    engine = make(READY + dying, "big", "small")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed")
    assert "device-side assert" in str(status.reason)
    assert {one.cause for one in status.incidents} == {"crashed"}
    assert (status.restarts, status.notice) == (lives.MAX_DEATHS, None)


HEALTHY = """
import http.server, threading
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog's seconds, a good deal shorter."""
    monkeypatch.setattr(watchdog, "ASK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(watchdog, "SLACK_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "SILENCE_SECONDS", 0.6)
    monkeypatch.setattr(watchdog, "LOADING_SILENCE_SECONDS", 0.9)


ALIVE = HEALTHY + READY.replace("4711", "server.server_port") + "sys.stdin.read()"


@pytest.mark.usefixtures("impatient")
async def test_one_that_is_stopped_in_its_tracks_is_restarted(make: Make) -> None:
    engine = make(ALIVE)
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    first = engine.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    status = await seen(engine, lambda s: s.restarts == 1 and s.phase == "ready")
    assert [one.cause for one in status.incidents] == ["hung"]
    assert "did not answer" in str(status.incidents[0].reason)
    assert not psutil.pid_exists(first)


@pytest.mark.usefixtures("impatient")
async def test_a_suspended_machine_is_nobodys_death(make: Make) -> None:
    """As when a lid is closed: the engine and we stand still for longer than its silence may be."""
    engine = make(ALIVE)
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    await asyncio.sleep(watchdog.ANSWER_SECONDS / 3)  # a question is on its way
    time.sleep(4 * watchdog.SILENCE_SECONDS)  # noqa: ASYNC251 - our own loop stands still, too
    os.kill(engine.pid, signal.SIGCONT)
    await asyncio.sleep(2 * watchdog.SILENCE_SECONDS)
    assert (engine.status.phase, engine.status.restarts) == ("ready", 0)


@pytest.mark.usefixtures("impatient")
async def test_one_that_stops_while_it_loads_is_started_again(make: Make, tmp_path: Path) -> None:
    again = tmp_path / "again"
    stuck = f"""
say(event="listening", port=server.server_port)
say(event="progress", stage="load", done=0, total=0)
again = pathlib.Path({str(again)!r})
if not again.exists():
    again.touch()
    import signal, time
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    engine = make(
        HEALTHY + stuck + READY.replace("4711", "server.server_port") + "sys.stdin.read()"
    )
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    assert [one.cause for one in status.incidents] == ["hung"]


@pytest.mark.usefixtures("impatient")
async def test_one_that_listens_only_when_it_is_ready_may_load_for_long(make: Make) -> None:
    """As vLLM does."""
    late = f"""
say(event="listening", port={free_port()})
say(event="progress", stage="load", done=0, total=0)
sys.stdin.read()
"""
    engine = make(late)
    await engine.start()
    await asyncio.sleep(3 * watchdog.LOADING_SILENCE_SECONDS)
    assert (engine.status.phase, engine.status.restarts) == ("loading", 0)


async def test_what_the_engine_has_started_ends_with_it(make: Make, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    script = f"""
import subprocess
nothing = subprocess.DEVNULL
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep, stdin=nothing, stdout=nothing)
pathlib.Path({str(note)!r}).write_text(str(child.pid))
"""
    engine = make(script + READY + "sys.stdin.read()")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    grandchild = psutil.Process(int(note.read_text()))
    await engine.stop()
    with contextlib.suppress(psutil.NoSuchProcess):
        assert grandchild.wait(5) is None
