"""Told to stop, as Kubernetes and Docker do it: running answers end first, then the process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx2

from tests.live import appliance
from tests.observability.watching import wait_for
from tests.scripted_engine import KEY, scripted_engine


def test_an_answer_ends_before_the_process_does(tmp_path: Path) -> None:
    with scripted_engine() as engine:
        flags = ["--engine", "remote", "--engine-url", engine.url, "--engine-key", KEY]
        flags += ["--drain-seconds", "60", "--log-format", "json"]
        with appliance(tmp_path / "data", *flags) as running:
            running.wait_ready()
            body = {"prompt": "wait", "stream": True}
            url = running.url + "/v1/completions"
            with httpx2.stream("POST", url, json=body, timeout=60) as response:
                lines = response.iter_lines()
                assert next(lines).startswith("data: ")
                running.process.send_signal(signal.SIGTERM)
                wait_for(running.refuses)
                assert running.process.poll() is None
                engine.release.set()
                assert "data: [DONE]" in list(lines)
            assert running.process.wait(30) == 0
            said = [line for line in running.said().splitlines() if line.startswith("{")]
    assert any(json.loads(line)["message"] == "POST /v1/completions 200" for line in said)
