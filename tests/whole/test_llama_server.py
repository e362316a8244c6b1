"""The appliance before llama.cpp's server, where an environment that has it is named:

    APPLIANCE_TEST_LLAMA=/tmp/llama/bin/python python -m pytest tests/whole/test_llama_server.py

How such an environment is made stands in `bench/README.md`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from bench.rivals import LlamaServer
from tests.engine.worker.running import content_of, sse_payloads
from tests.live import Appliance, appliance
from tests.whole.test_bad_cases import Listener

PYTHON = os.environ.get("APPLIANCE_TEST_LLAMA", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="needs a llama.cpp server to start")
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 24,
}


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    made = LlamaServer(PYTHON)
    yield made
    made.end()


@pytest.fixture(scope="module")
def front(server: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    flags = ["--engine", "remote", "--engine-url", f"http://127.0.0.1:{server.port}/v1"]
    with appliance(tmp_path_factory.mktemp("front"), *flags, "--cache-minutes", "0") as running:
        running.wait_ready()
        yield running


def post(front: Appliance, **body: Any) -> httpx2.Response:
    return httpx2.post(front.url + CHAT, json=ASK | body, timeout=60)


def test_it_is_found_and_answers_whole_and_streamed_alike(front: Appliance) -> None:
    facts = httpx2.get(front.url + "/admin/engine").json()["facts"]
    assert facts["backend"] == "remote"
    assert facts["context_length"] > 0
    whole = post(front).json()
    said = whole["choices"][0]["message"]["content"]
    assert said
    assert whole["usage"]["completion_tokens"] > 0
    assert content_of(sse_payloads(post(front, stream=True).text)) == said


def test_forms_hold_over_there(front: Appliance) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    said = post(front, response_format=form).json()["choices"][0]["message"]["content"]
    assert json.loads(said)["city"] in ("Paris", "Rome")


def test_what_is_too_long_for_it_is_refused(front: Appliance) -> None:
    refusal = post(front, messages=[{"role": "user", "content": "word " * 60_000}])
    assert refusal.status_code == 400
    error = refusal.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "60" in error["message"]


def test_its_death_ends_a_stream_with_an_error(front: Appliance, server: LlamaServer) -> None:
    """Last: it does not come back."""
    listener = Listener(front.url, CHAT)
    server.process.kill()
    listener.join(20)
    assert listener.error == "engine_failed"
    front.wait_for("/ready", 503)
    assert httpx2.get(front.url + "/").status_code == 200
