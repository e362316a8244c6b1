"""The engine makes room and comes back, on the real appliance and by its own commands."""

from __future__ import annotations

from pathlib import Path

import httpx2
import psutil
import pytest

from tests.engine.worker.vllm_child import VLLM_PYTHON, vllm_appliance
from tests.live import Appliance, appliance
from tests.test_cli import run
from tests.whole.test_bad_cases import engine_of

MIB = 1024 * 1024


def ask(running: Appliance) -> httpx2.Response:
    body = {"prompt": "Hello.", "max_tokens": 4}
    return httpx2.post(running.url + "/generate", json=body, timeout=60)


def test_unloading_gives_back_the_process_and_loading_brings_it_back(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path))
    with appliance(tmp_path, "--model", "demo") as running:
        running.wait_ready()
        worker = engine_of(running)
        front = psutil.Process(running.process.pid)
        own, lent = front.memory_info().rss, worker.memory_info().rss
        assert "SmolLM2" in run("engine", "status", *place)
        assert "Unloaded by hand" in run("engine", "unload", *place)
        assert not worker.is_running()
        assert front.children() == []
        # Nothing of the model was in the front, and nothing of it stays there.
        assert lent > 200 * MIB
        assert front.memory_info().rss - own < 20 * MIB
        refusal = ask(running)
        assert refusal.status_code == 503
        assert refusal.headers["retry-after"] == "60"
        assert "engine load" in refusal.json()["detail"]
        assert httpx2.get(running.url + "/ready", timeout=60).status_code == 503
        assert "Engine: ready" in run("engine", "load", *place)
        assert ask(running).json()["completion_tokens"] > 0
        assert httpx2.get(running.url + "/admin/engine", timeout=60).json()["restarts"] == 0
    assert "No appliance runs" in run("engine", "status", *place, ok=False)


def test_an_idle_engine_sleeps_and_a_request_wakes_it(tmp_path: Path) -> None:
    with appliance(tmp_path, "--model", "demo", "--idle-unload-minutes", "0.02") as running:
        running.wait_for("/ready", 200)
        while (state := httpx2.get(running.url + "/ready", timeout=60).json())["status"] == "ready":
            pass
        assert state["status"] == "on_demand"
        answer = ask(running)
        assert answer.status_code == 200
        # A load takes most of a second at least, and it counts as waiting for a place.
        assert answer.json()["queue_ms"] > 100


@pytest.mark.skipif(not VLLM_PYTHON, reason="needs a vLLM to start")
@pytest.mark.timeout(900)
def test_a_real_vllm(tmp_path: Path, cache_dir: Path) -> None:
    with vllm_appliance(cache_dir, tmp_path, 4) as running:
        facts = httpx2.get(running.url + "/admin/engine", timeout=60).json()["facts"]
        assert facts["backend"] == "vllm"
        assert facts["kv_tokens"] > 0
        body = {"prompt": "Hello.", "max_tokens": 8, "temperature": 0}
        answer = httpx2.post(running.url + "/generate", json=body, timeout=120)
        assert answer.status_code == 200, answer.text
        assert answer.json()["completion_tokens"] > 0
        children = psutil.Process(running.process.pid).children(recursive=True)
        running.process.kill()
        running.process.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert alive == []
