"""Engines loaded in this process: shrunk weights, the packaged model's words, a dying library."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.engine.config import EngineConfig, Precision
from appliance.engine.worker.backends.base import BackendFailed
from appliance.engine.worker.engine import Engine
from appliance.engine.worker.loading import load_engine
from tests.engine.worker.conftest import no_progress

pytestmark = pytest.mark.anyio
BOUND_SECONDS = 100


@asynccontextmanager
async def started(config: EngineConfig) -> AsyncIterator[tuple[Engine, list[BaseException]]]:
    """A working engine, and what it has died of."""
    deaths: list[BaseException] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own, while they load
        engine = await asyncio.to_thread(load_engine, config, no_progress)
    engine.start(asyncio.get_running_loop(), deaths.append)
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            yield engine, deaths
    finally:
        engine.close()


async def say(engine: Engine, text: str, max_tokens: int = 12, **sampling: Any) -> str:
    wished = Sampling(max_tokens=max_tokens, **({"temperature": 0.0} | sampling))
    job = await engine.job(GenerationRequest(prompt=(Message("user", text),), sampling=wished))
    return "".join([parts.text async for parts in engine.run(job, job.choices[0])])


CAPITAL = "The capital of France is Paris"


@pytest.mark.parametrize("backend", ["openvino", "transformers"])
async def test_packaged_model_knows_its_words(
    backend: str, openvino_config: EngineConfig, transformers_config: EngineConfig
) -> None:
    """Upgrades of the libraries have spoilt answers without an error before."""
    config = openvino_config
    if backend == "transformers":
        config = replace(transformers_config, source=openvino_config.source, precision="gguf")
    async with started(config) as (engine, _):
        answer = await say(engine, "What is the capital of France?")
        assert answer.startswith(CAPITAL)
        other = await say(engine, "Name a colour.", max_tokens=6)
        together = await asyncio.gather(
            say(engine, "What is the capital of France?"),
            say(engine, "Name a colour.", max_tokens=6),
        )
        assert together[0].startswith(CAPITAL)
        assert together[1] == other
        if backend == "transformers":
            # OpenVINO's 8-bit activations go on as the processor rounds them.
            assert together[0] == answer == f"{CAPITAL}."


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_disk_without_room_for_the_converted_model_costs_time_only(
    openvino_config: EngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100_000_000))
    async with started(replace(openvino_config, cache_dir=str(tmp_path))) as (engine, _):
        assert (await say(engine, "What is the capital of France?")).startswith(CAPITAL)
    assert not any(file.suffix == ".bin" for file in files_below(tmp_path))


@pytest.mark.parametrize("precision", ["int8", "nf4", "bf16"])
async def test_smaller_precisions_answer_on_a_cpu(
    precision: Precision, transformers_config: EngineConfig
) -> None:
    async with started(replace(transformers_config, precision=precision)) as (engine, deaths):
        greedy = [await say(engine, "Hello"), await say(engine, "Hello")]
        assert greedy[0] == greedy[1] != ""
        drawn = [await say(engine, "Hello", temperature=2.0, seed=seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert not deaths


async def test_dying_library_fails_every_answer_and_says_so(
    transformers_config: EngineConfig,
) -> None:
    async with started(transformers_config) as (engine, deaths):
        running = asyncio.ensure_future(say(engine, "Hello", max_tokens=900))
        wished = Sampling(max_tokens=4)
        broken = await engine.job(GenerationRequest(prompt="x", sampling=wished))
        broken.prompt = [10**6]  # outside the vocabulary; no text encodes to this
        with pytest.raises(BackendFailed):
            await anext(engine.run(broken, broken.choices[0]))
        with pytest.raises(BackendFailed):
            await running
        while not deaths:  # noqa: ASYNC110 - bounded by `started`
            await asyncio.sleep(0)
        with pytest.raises(BackendFailed):
            await say(engine, "Hello")
