"""vLLM as an engine: its command line as a decision, and a child that stands for it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from appliance.domain import GenerationRequest, TextDelta
from appliance.engine import harness_log, harness_questions, lives
from appliance.engine.client import Completed, EngineClient, http_client
from appliance.engine.config import Adapter, EngineConfig, ModelSource
from appliance.engine.orders import Order
from appliance.engine.supervisor import Supervisor
from appliance.engine.vllm import arguments, program, vllm_order
from appliance.errors import SetupError
from tests.engine.test_supervisor import seen
from tests.scripted_engine import KEY, MODEL
from tests.waiting import until

CARD = EngineConfig(
    backend="vllm",
    model="Qwen3-8B",
    source=ModelSource("hub", "Qwen/Qwen3-8B", revision="abc"),
    precision="bf16",
    context_length=16384,
    kv_tokens=40000,
    max_concurrency=8,
    key="a secret",
    cache_dir="/models",
    default_sampling={"temperature": 0.7},
    thinking_sampling={"temperature": 0.6},
    gpu_memory_fraction=0.87654,
)


def pairs(config: EngineConfig) -> dict[str, str]:
    words = arguments(config)
    values = [*words[1:], ""]
    return {
        word: "" if value.startswith("--") else value
        for word, value in zip(words, values, strict=True)
        if word.startswith("--")
    }


def test_a_card_is_shared_with_the_display_and_the_model_speaks_qwens_forms() -> None:
    options = pairs(CARD)
    assert options["--gpu-memory-utilization"] == "0.876"
    assert options["--served-model-name"] == "Qwen3-8B"
    assert (options["--max-model-len"], options["--max-num-seqs"]) == ("16384", "8")
    assert (options["--dtype"], options["--revision"]) == ("bfloat16", "abc")
    assert (options["--tool-call-parser"], options["--reasoning-parser"]) == ("hermes", "qwen3")
    assert options["--host"] == "127.0.0.1"
    assert {"--enable-prefix-caching", "--enable-auto-tool-choice"} <= options.keys()
    assert json.loads(options["--override-generation-config"]) == {"temperature": 0.6}
    assert "--quantization" not in options


def test_the_key_is_in_the_environment_and_on_no_command_line() -> None:
    order = vllm_order(CARD, {"CUDA_VISIBLE_DEVICES": "GPU-1"}, None)
    assert order.environment["VLLM_API_KEY"] == "a secret"
    assert order.environment["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert "a secret" not in order.first_line + " ".join(order.command)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("nf4", {"--quantization": "bitsandbytes"}),
        ("fp32", {"--dtype": "float32"}),
        # Weights that come quantised name their own way, for which vLLM has the best kernel.
        ("fp8", {"--dtype": "auto"}),
        ("awq", {"--dtype": "auto"}),
    ],
)
def test_precisions(precision: str, expected: dict[str, str]) -> None:
    options = pairs(replace(CARD, precision=precision))  # type: ignore[arg-type]
    assert {k: v for k, v in options.items() if k in ("--dtype", "--quantization")} == expected


def test_without_a_card_the_cache_has_a_size() -> None:
    options = pairs(replace(CARD, gpu_memory_fraction=None, kv_bytes=1 << 30))
    assert options["--kv-cache-memory-bytes"] == str(1 << 30)
    assert "--gpu-memory-utilization" not in options


def test_another_model_gets_no_parser_for_thinking() -> None:
    config = replace(CARD, model="Llama", thinking_sampling={})
    assert "--reasoning-parser" not in pairs(config)


def test_adapters_are_served_with_room_for_their_rank(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 24}')
    options = pairs(replace(CARD, adapters=(Adapter("poet", str(tmp_path)),)))
    assert options["--lora-modules"] == f"poet={tmp_path}"
    assert options["--max-lora-rank"] == "32"


def test_a_folder_that_is_no_adapter_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=re.escape(str(tmp_path))):
        arguments(replace(CARD, adapters=(Adapter("poet", str(tmp_path)),)))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("vllm", ["vllm", "serve", "Qwen/Qwen3-8B"]),
        ("/x/vllm serve", ["/x/vllm", "serve", "Qwen/Qwen3-8B"]),
        ("py -m vllm.api", ["py", "-m", "vllm.api", "--model", "Qwen/Qwen3-8B"]),
    ],
)
def test_the_ways_to_start_it(command: str, words: list[str]) -> None:
    assert program(command, CARD) == words


def test_a_command_that_is_none() -> None:
    with pytest.raises(SetupError, match="vllm-command"):
        program("vllm 'serve", CARD)


def test_hubs_and_mirrors() -> None:
    mirror = vllm_order(replace(CARD, hub_endpoint="https://hf-mirror.com"), {}, None)
    assert mirror.environment["HF_ENDPOINT"] == "https://hf-mirror.com"
    scope = vllm_order(replace(CARD, hub_endpoint="modelscope"), {}, None)
    assert scope.environment["VLLM_USE_MODELSCOPE"] == "1"
    folder = replace(CARD, source=ModelSource("folder", "/a/b"))
    assert vllm_order(folder, {}, None).environment["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["torch.OutOfMemoryError: CUDA out of memory. Tried"], "out_of_memory"),
        (["ValueError: No available memory for the cache blocks."], "out_of_memory"),
        (["huggingface_hub.errors.GatedRepoError: 401 Client Error."], "model_gated"),
        (["ModuleNotFoundError: No module named 'vllm'"], "missing_package"),
        (["ValueError: Model architectures ['X'] are not supported"], "load_failed"),
        ([], "load_failed"),
    ],
)
def test_why_it_could_not_start(lines: list[str], code: str) -> None:
    echo = "RuntimeError: Engine core initialization failed. See root cause above."
    found, message = harness_log.why_not([*lines, echo] if lines else [])
    assert found == code
    assert "Engine core" not in message


def test_what_lines_tell_of_progress() -> None:
    line = "(EngineCore) Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<…"
    assert harness_log.progress(line) == ("load", 1, 4)
    assert harness_log.progress("Capturing CUDA graphs (decode): 10%") == ("warm_up", 0, 0)
    assert harness_log.progress("INFO 12:00 something else") is None


def test_answers_that_say_nothing() -> None:
    assert harness_questions.kv_tokens_in("nothing") is None
    assert harness_questions.version_in("<html>") is None
    assert harness_questions.context_in('{"data": [{"id": "other"}]}', "mine") is None


# --- A child that stands for vLLM ---------------------------------------------------------------

SCRIPTED = f"{shlex.quote(sys.executable)} -m tests.engine.scripted_vllm"


class Once:
    """One order, and perhaps a second."""

    def __init__(self, *orders: Order) -> None:
        self._orders = orders
        self.codes: list[str] = []

    def first(self) -> Order:
        return self._orders[0]

    def after_failure(self, code: str) -> Order | None:
        self.codes.append(code)
        return self._orders[1] if len(self.codes) < len(self._orders) else None


def order(model: str | Path) -> Order:
    source = ModelSource("folder", str(model))
    config = replace(CARD, model=MODEL, source=source, key=KEY)
    return vllm_order(config, {}, SCRIPTED)


def core_in(log: Path) -> psutil.Process:
    (*_, pid) = re.findall(r"core is (\d+)", log.read_text())
    return psutil.Process(int(pid))


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


Make = Callable[..., Supervisor]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "engine.log"


@pytest.fixture
async def make(log: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(lives, "FIRST_PAUSE_SECONDS", 0.01)
    made: list[Supervisor] = []

    def start(*models: str | Path) -> Supervisor:
        made.append(Supervisor(Once(*map(order, models)), log_path=log))
        return made[-1]

    yield start
    for one in made:
        await one.stop()


@pytest.mark.anyio
async def test_it_serves_says_what_it_became_and_leaves_nothing_behind(
    make: Make, log: Path
) -> None:
    engine = make("good")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready", 30)
    facts = status.facts
    assert facts is not None
    assert (facts.backend, facts.engine_version) == ("vllm", "0.32.0")
    assert (facts.context_length, facts.kv_tokens) == (1234, 16 * 512)
    assert "tool_calls" in facts.capabilities
    async with http_client() as http, engine.lease() as endpoint:
        request = GenerationRequest(prompt="say A B")
        events = [event async for event in EngineClient(http).stream(endpoint, request)]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "A B "
    assert isinstance(events[-1], Completed)
    core = core_in(log)
    await engine.stop()
    await until(lambda: is_gone(core))


@pytest.mark.anyio
async def test_its_progress_is_told(make: Make, tmp_path: Path) -> None:
    gate = tmp_path / "slow"
    engine = make(gate)
    await engine.start()
    status = await seen(engine, lambda s: s.percent == 50, 30)
    assert status.stage == "load"
    gate.touch()
    await seen(engine, lambda s: s.phase == "ready", 30)


@pytest.mark.anyio
async def test_too_little_memory_leads_to_the_next_order_with_the_reason(make: Make) -> None:
    engine = make("oom", "good")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready", 30)
    assert "less than desired GPU memory" in str(status.notice)
    assert status.restarts == 0


@pytest.mark.anyio
async def test_a_killed_server_is_counted_and_comes_back(make: Make, log: Path) -> None:
    engine = make("good")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready", 30)
    assert engine.pid is not None
    core = core_in(log)
    (server,) = psutil.Process(engine.pid).children()
    server.kill()
    status = await seen(engine, lambda s: s.restarts == 1 and s.phase == "ready", 30)
    assert status.incidents[0].cause == "killed"
    assert is_gone(core)


@pytest.mark.anyio
async def test_a_killed_harness_takes_the_server_with_it(make: Make, log: Path) -> None:
    engine = make("good")
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready", 30)
    assert engine.pid is not None
    (server,) = psutil.Process(engine.pid).children()
    os.kill(engine.pid, signal.SIGKILL)
    await seen(engine, lambda s: s.restarts == 1, 30)
    await until(lambda: is_gone(server))


@pytest.mark.anyio
async def test_a_program_that_is_not_there_is_a_reason(log: Path) -> None:
    engine = Supervisor(Once(vllm_order(CARD, {}, "/no/such/vllm")), log_path=log)
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "failed", 30)
    assert "--vllm-command" in str(status.reason)
    await engine.stop()


def test_a_front_that_dies_leaves_no_orphan(tmp_path: Path) -> None:
    """The pipe closes, whoever held it; a server that is deaf to SIGTERM ends all the same."""
    made = order("deaf")
    log = tmp_path / "log"
    with log.open("wb") as errors:
        harness = subprocess.Popen(
            made.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | made.environment,
            start_new_session=True,
        )
    assert harness.stdin is not None
    assert harness.stdout is not None
    harness.stdin.write(made.first_line.encode() + b"\n")
    harness.stdin.flush()
    for line in harness.stdout:
        if b'"ready"' in line:
            break
    (server,) = psutil.Process(harness.pid).children()
    core = core_in(log)
    harness.stdin.close()
    harness.wait(20)
    harness.stdout.close()
    asyncio.run(until(lambda: is_gone(server) and is_gone(core)))
