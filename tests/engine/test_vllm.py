"""vLLM as an engine: its command line as a decision, and a child that stands for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.engine import harness_log, harness_questions
from appliance.engine.config import Adapter, EngineConfig, ModelSource
from appliance.engine.vllm import arguments, program, vllm_order
from appliance.errors import SetupError
from tests.engine.vllm_parts import CARD


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
