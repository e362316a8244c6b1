"""More work than the KV cache holds: what was accepted is finished, whoever has to wait."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from appliance.engine.config import EngineConfig
from tests.engine.worker.running import running

CACHE_TOKENS = 256
PLACES = 4
# Goes on for ever, in a way that no model gets tired of.
COUNTING = ", ".join(str(number % 10) for number in range(40)) + ","


@pytest.fixture(params=["openvino", "transformers"])
def config(request: pytest.FixtureRequest) -> EngineConfig:
    chosen: EngineConfig = request.getfixturevalue(f"{request.param}_config")
    return chosen


@pytest.mark.anyio
async def test_every_place_may_ask_for_the_whole_cache(
    config: EngineConfig, tmp_path: Path
) -> None:
    """Four streams of one request and two of others, each as long as the cache allows."""
    sizes = {"kv_tokens": CACHE_TOKENS, "context_length": CACHE_TOKENS, "max_concurrency": PLACES}
    with running(config, tmp_path / "worker.log", **sizes) as worker:
        assert worker.wait_for("ready", "failed")["event"] == "ready"
        async with worker.client() as http:

            async def ask(number: int, choices: int) -> dict[str, Any]:
                body = {
                    "model": config.model,
                    "prompt": f"{number}: {COUNTING}",
                    "temperature": 0,
                    "n": choices,
                    "max_tokens": 100,
                }
                answer = await http.post("/v1/completions", json=body)
                assert answer.status_code == 200, answer.text
                values: dict[str, Any] = answer.json()
                return values

            answers = await asyncio.gather(ask(1, 4), ask(2, 1), ask(3, 1))
        assert worker.process.poll() is None
    ends = [choice["finish_reason"] for answer in answers for choice in answer["choices"]]
    assert len(ends) == 6
    assert set(ends) <= {"stop", "length"}
    # Who had to make room and began again says the same as who did not.
    assert len({choice["text"] for choice in answers[0]["choices"]}) == 1
    # Unless they really were too long for the cache together, nothing has been tried.
    asked = sum(answer["usage"]["completion_tokens"] for answer in answers)
    assert asked > 2 * CACHE_TOKENS - 100, asked


@pytest.mark.anyio
async def test_forms_are_held_although_the_cache_is_full(
    config: EngineConfig, tmp_path: Path
) -> None:
    """A form cannot go on in its middle, so whoever made room says it again from its beginning."""
    sizes = {"kv_tokens": CACHE_TOKENS, "context_length": CACHE_TOKENS, "max_concurrency": PLACES}
    pattern = "([0-9], ){30}[0-9]"
    with running(config, tmp_path / "worker.log", **sizes) as worker:
        assert worker.wait_for("ready", "failed")["event"] == "ready"
        async with worker.client() as http:

            async def ask(number: int) -> str:
                body = {
                    "model": config.model,
                    "prompt": f"{number}: {COUNTING}",
                    "temperature": 0,
                    "max_tokens": 110,
                    "structured_outputs": {"regex": pattern},
                }
                answer = await http.post("/v1/completions", json=body)
                assert answer.status_code == 200, answer.text
                text: str = answer.json()["choices"][0]["text"]
                return text

            texts = await asyncio.gather(*map(ask, range(PLACES)))
    assert all(re.fullmatch(pattern, text) for text in texts), texts
