"""What goes wrong on real machines, caused for real and seen handled."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.live import Appliance, appliance, stop

POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


def engine_of(running: Appliance) -> psutil.Process:
    (child,) = psutil.Process(running.process.pid).children()
    return child


def rows(running: Appliance, sql: str) -> list[Any]:
    with closing(sqlite3.connect(running.data_dir / "appliance.db")) as connection:
        return connection.execute(sql).fetchall()


# Rewarded for what it has said, and fined for the end mark that it saw in the prompt, the model
# never finds an end.
ENDLESS = {"temperature": 0, "frequency_penalty": -2, "repetition_penalty": 2, "stream": True}
TURNS = [{"role": "user", "content": "Tell a story."}]
DIALECTS: dict[str, dict[str, Any]] = {
    "/generate": {"prompt": "Tell a story.", "max_tokens": 6000},
    "/v1/completions": {"prompt": "Tell a story.", "max_tokens": 1500, "n": 2},
    "/v1/chat/completions": {"messages": TURNS, "max_tokens": 1500},
}


class Listener(threading.Thread):
    """A client in the middle of a long answer."""

    def __init__(self, url: str, path: str = "/generate") -> None:
        super().__init__(daemon=True)
        self.path = path
        self.url = url
        self.lines: list[str] = []
        self.growing = threading.Event()
        self.start()
        assert self.growing.wait(60)

    def run(self) -> None:
        body = DIALECTS[self.path] | ENDLESS
        try:
            with httpx2.stream("POST", self.url + self.path, json=body, timeout=60) as answer:
                for line in answer.iter_lines():
                    self.lines.append(line)
                    if len(self.lines) > 6:
                        self.growing.set()
        except httpx2.HTTPError:
            self.lines.append("broken off")

    @property
    def error(self) -> Any:
        """What the last event says in this dialect."""
        last = next(line for line in reversed(self.lines) if line.startswith("data: {"))
        values = json.loads(last.removeprefix("data: "))
        return values["error"]["code"] if self.path.startswith("/v1") else values["code"]


@pytest.fixture
def running(tmp_path: Path):  # type: ignore[no-untyped-def]
    with appliance(tmp_path / "data", "--model", "demo") as made:
        made.wait_ready()
        yield made


@POSIX_ONLY
def test_a_killed_engine_ends_streams_with_an_error_and_comes_back(running: Appliance) -> None:
    listeners = [Listener(running.url, path) for path in DIALECTS]
    engine_of(running).kill()
    killed = time.monotonic()
    for listener in listeners:
        listener.join(20)
        assert not listener.is_alive()
        assert listener.error == "engine_failed", listener.path
        assert "data: [DONE]" not in listener.lines
    assert httpx2.get(running.url + "/ready").status_code == 503
    for page in ("/health", "/", "/history", "/status", "/keys"):
        assert httpx2.get(running.url + page).status_code == 200, page
    running.wait_ready(15 - (time.monotonic() - killed))
    assert httpx2.get(running.url + "/admin/engine").json()["restarts"] == 1
    assert "1 restart that nobody asked for" in httpx2.get(running.url + "/status").text
    ends = rows(running, "select finish_reason, error from generation")
    assert len(ends) >= len(DIALECTS)
    assert {reason for reason, _ in ends} == {"error"}
    assert all("stopped in the middle" in error for _, error in ends)


def test_ctrl_c_during_a_stream_closes_the_rows_and_leaves_no_orphan(running: Appliance) -> None:
    listener = Listener(running.url)
    worker = engine_of(running)
    assert stop(running.process) == 0
    worker.wait(10)
    listener.join(10)
    ((reason, output),) = rows(running, "select finish_reason, output from generation")
    assert reason == "cancelled"
    assert output
    (error,) = rows(running, "select error from request where path = '/generate'")
    assert error == ("the appliance was stopped",)
    assert rows(running, "select count(*) from request where status is null") == [(0,)]
    assert "Stopped." in running.said()
    assert "Traceback" not in running.said()


@POSIX_ONLY
def test_a_crash_leaves_no_orphan_and_its_rows_are_marked_at_the_next_start(
    running: Appliance,
) -> None:
    listener = Listener(running.url)
    worker = engine_of(running)
    running.process.kill()
    running.process.wait()
    worker.wait(10)
    listener.join(10)
    with appliance(running.data_dir, "--model", "demo") as again:
        again.wait_for("/health", 200)
        found = rows(again, "select finish_reason, error from generation")
    assert found == [("interrupted", "interrupted")]


def test_two_appliances_on_one_folder(live: Appliance) -> None:
    with appliance(live.data_dir) as second:
        assert second.process.wait(20) == 1
        assert "Another appliance already uses" in second.said()
        assert live.url in second.said()
        assert "Traceback" not in second.said()


def test_a_taken_port(live: Appliance, tmp_path: Path) -> None:
    port = live.url.rpartition(":")[2]
    with appliance(tmp_path, "--port", port) as second:
        assert second.process.wait(20) == 1
        assert f"Port {port}" in second.said()
        assert "--port" in second.said()
        assert "Traceback" not in second.said()


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with appliance(tmp_path / "log", "--data-dir", str(tmp_path / "file" / "data")) as refused:
        assert refused.process.wait(20) == 1
        assert "cannot be written" in refused.said()
        assert "--data-dir" in refused.said()
        assert "Traceback" not in refused.said()


def test_an_unreachable_hub_falls_back_to_the_demo_model_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="without it, the model is refused before it is fetched")
    flags = ["--model", "Qwen/Qwen3-0.6B", "--hub-endpoint", "http://127.0.0.1:9"]
    with appliance(tmp_path, *flags, env={"HF_HUB_DISABLE_TELEMETRY": "1"}) as running:
        running.wait_ready()
        status = httpx2.get(running.url + "/admin/engine").json()
        assert status["facts"]["model"] == "SmolLM2-135M-Instruct"
        assert "hub cannot be reached" in status["notice"]
        assert "Qwen3-0.6B" in status["notice"]
        page = httpx2.get(running.url + "/").text
        assert "Qwen3-0.6B" in page


def test_a_damaged_model_file_is_a_reason_and_not_a_crash(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(1000))
    with appliance(tmp_path / "data", "--model", str(damaged)) as running:
        if running.process.poll() is None:
            running.process.wait(20)
        assert running.process.returncode == 1
        assert str(damaged) in running.said()
        assert "Traceback" not in running.said()


@POSIX_ONLY
def test_a_plain_termination_is_an_orderly_end(running: Appliance) -> None:
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "Traceback" not in running.said()
