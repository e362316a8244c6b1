"""The life of the process: what it says, when it refuses, and that it always ends."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from appliance.engine.config import EngineConfig, EngineFacts, ModelSource
from tests.engine.worker.running import RunningWorker, running

pytestmark = pytest.mark.anyio


async def test_says_what_it_does_in_order(worker: RunningWorker) -> None:
    names = [event["event"] for event in worker.events]
    assert names[0] == "listening"
    assert names[-1] == "ready"
    assert set(names[1:-1]) == {"progress"}
    stages = {event["stage"] for event in worker.events if event["event"] == "progress"}
    assert "warm_up" in stages
    facts = EngineFacts(**worker.events[-1]["facts"])
    assert facts.backend == worker.config.backend
    assert facts.kv_tokens == worker.config.kv_tokens
    assert {"temperature", "top_k", "min_p", "seed"} <= set(facts.capabilities)


@pytest.mark.skipif(sys.platform == "darwin", reason="needs the list of loaded libraries")
async def test_openvino_never_loads_torch(worker: RunningWorker) -> None:
    maps = psutil.Process(worker.process.pid).memory_maps()
    loaded = any("libtorch" in str(entry.path) for entry in maps)
    assert loaded == (worker.config.backend == "transformers")


async def test_not_ready_is_503_and_closing_stdin_ends_a_load(
    openvino_config: EngineConfig, tmp_path: Path
) -> None:
    with running(openvino_config, tmp_path / "log", cache_dir=str(tmp_path)) as worker:
        worker.wait_for("progress")
        async with worker.client() as client:
            assert (await client.get("/health")).json() == {"status": "loading"}
            response = await client.post("/v1/chat/completions", json={})
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "engine_unavailable"
            assert int(response.headers["Retry-After"]) > 0
        began = time.monotonic()
        assert worker.end() == 0
        assert time.monotonic() - began < 5
        assert not any(event["event"] == "ready" for event in worker.events)


async def test_closing_stdin_ends_a_running_answer(
    transformers_config: EngineConfig, tmp_path: Path
) -> None:
    with running(transformers_config, tmp_path / "log") as worker:
        worker.wait_for("ready")
        body = {"prompt": "la la la", "temperature": 0, "max_tokens": 900, "stream": True}
        async with (
            worker.client() as client,
            client.stream("POST", "/v1/completions", json=body) as response,
        ):
            await anext(response.aiter_lines())
            began = time.monotonic()
            assert worker.end() == 0
            assert time.monotonic() - began < 5


def failure(config: EngineConfig, log: Path, source: ModelSource) -> tuple[str, str]:
    with running(config, log, source=source) as worker:
        event = worker.wait_for("failed", "ready")
        assert event["event"] == "failed"
        assert worker.end() == 1
        return event["code"], event["message"]


def test_damaged_model_is_called_corrupt(
    openvino_config: EngineConfig, demo_gguf: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    shutil.copy(demo_gguf, damaged)
    with damaged.open("r+b") as file:
        file.seek(50_000_000)
        file.write(b"\xff\x00damage")
    source = ModelSource("gguf", str(damaged), sha256=openvino_config.source.sha256)
    code, message = failure(openvino_config, tmp_path / "log", source)
    assert code == "model_corrupt"
    assert "damaged.gguf" in message


@pytest.mark.parametrize(
    "source",
    [
        ModelSource("gguf", "/nowhere/model.gguf"),
        ModelSource("folder", "/nowhere"),
        ModelSource("package", "no_such_package/model.gguf"),
    ],
    ids=lambda source: source.kind,
)
def test_missing_model_is_said_to_be_missing(
    openvino_config: EngineConfig, tmp_path: Path, source: ModelSource
) -> None:
    code, message = failure(openvino_config, tmp_path / "log", source)
    assert code == "model_missing"
    assert source.location.split("/")[0] in message


def test_unreachable_hub_is_told_from_a_missing_model(
    openvino_config: EngineConfig, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    source = ModelSource("hub", "Qwen/Qwen3-0.6B")
    with running(openvino_config, tmp_path / "log", source=source, hub_endpoint=endpoint) as worker:
        event = worker.wait_for("failed", "ready")
        assert event["code"] == "hub_unreachable", event
        assert worker.end() == 1


def test_order_that_is_no_order_is_refused(openvino_config: EngineConfig, tmp_path: Path) -> None:
    class Broken(RunningWorker):
        def send(self, line: str) -> None:
            super().send("{}")

    worker = Broken(openvino_config, tmp_path / "log")
    assert worker.wait_for("failed")["code"] == "load_failed"
    assert worker.end() == 1


async def test_its_wire_is_stricter_than_the_front(worker: RunningWorker) -> None:
    """One client, which we wrote: what it does not mean is a mistake. And it wants to know more."""
    user = [{"role": "user", "content": "Hi"}]
    async with worker.client() as client:
        for body in ({"modalities": ["text"]}, {"temperature": "0.5"}):
            refused = await client.post("/v1/chat/completions", json={"messages": user} | body)
            assert refused.status_code == 400, body
            assert refused.json()["error"]["param"] == next(iter(body))
        wish = {"messages": user, "model": "anything", "max_tokens": 1}
        answer = (await client.post("/v1/chat/completions", json=wish)).json()
        assert answer["model"] == worker.config.model
        assert set(answer["timings"]) == {"queue_ms", "prefill_ms", "decode_ms"}
        long = {"messages": user, "max_tokens": 1020}
        error = (await client.post("/v1/chat/completions", json=long)).json()["error"]
        assert (error["max_tokens"], error["limit"]) == (1020, 1024)
        assert 1020 + error["prompt_tokens"] > 1024
