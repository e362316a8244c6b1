"""`vllm serve` as an engine: its command line and environment, from our order. Written for 0.32.

Knows nothing of processes; `engine.harness` runs the command under our worker's protocol.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from appliance.engine.config import EngineConfig, EngineFacts, Precision
from appliance.engine.hubs import hub_of
from appliance.engine.orders import Order
from appliance.errors import SetupError

HARNESS = (sys.executable, "-m", "appliance.engine.harness")
DEFAULT_COMMAND = "vllm"

# Weights that are quantised already say so themselves, and vLLM knows the fastest kernel for them.
DTYPES: dict[Precision, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
QUANTISED_WHILE_LOADING: dict[Precision, str] = {"nf4": "bitsandbytes"}

# What vLLM obeys of what we can ask for, by our names.
CAPABILITIES = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "stop",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "json_object",
    "json_schema",
    "regex",
    "choice",
    "tool_calls",
)


def vllm_order(config: EngineConfig, environment: Mapping[str, str], command: str | None) -> Order:
    """The order for a vLLM child. `command` starts it, as `--vllm-command` has it.

    Raises SetupError when the command cannot be read.
    """
    first_line = {
        "command": [*program(command or DEFAULT_COMMAND, config), *arguments(config)],
        "facts": asdict(_facts(config)),
    }
    return Order(
        command=HARNESS,
        first_line=json.dumps(first_line),
        model=config.model,
        key=config.key,
        environment={**environment, **_environment(config)},
    )


def program(command: str, config: EngineConfig) -> list[str]:
    """The words before the options, model included: `vllm serve MODEL`, or a module's `--model`."""
    try:
        words = shlex.split(command, posix=sys.platform != "win32")
    except ValueError as error:
        raise SetupError(
            "--vllm-command is %(command)s, which is no command: %(error)s.",
            param="vllm_command",
            command=repr(command),
            error=error,
        ) from None
    model = config.source.location
    if "-m" in words:
        return [*words, "--model", model]
    return [*words, model] if "serve" in words else [*words, "serve", model]


def arguments(config: EngineConfig) -> list[str]:
    """The options. The key is not among them: every program may read a command line."""
    options = ["--served-model-name", config.model, "--host", "127.0.0.1"]
    options += ["--max-model-len", str(config.context_length)]
    options += ["--max-num-seqs", str(config.max_concurrency)]
    options += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    options += ["--disable-uvicorn-access-log", *_precision(config.precision), *_memory(config)]
    options += _parsers(config) + _sampling(config) + _adapters(config)
    if config.source.revision:
        options += ["--revision", config.source.revision]
    if config.yarn_factor is not None and config.native_context is not None:
        options += ["--hf-overrides", _yarn(config.yarn_factor, config.native_context)]
    return options


def _precision(precision: Precision) -> list[str]:
    if precision in QUANTISED_WHILE_LOADING:
        return ["--quantization", QUANTISED_WHILE_LOADING[precision]]
    return ["--dtype", DTYPES.get(precision, "auto")]


def _memory(config: EngineConfig) -> list[str]:
    """On a card a share of its whole memory, which leaves the display its part."""
    if config.gpu_memory_fraction is not None:
        # Rounded down: what is asked for must be free.
        share = int(config.gpu_memory_fraction * 1000) / 1000
        return ["--gpu-memory-utilization", f"{share:.3f}"]
    return ["--kv-cache-memory-bytes", str(config.kv_bytes)] if config.kv_bytes else []


def _parsers(config: EngineConfig) -> list[str]:
    """Qwen3's forms of thinking and of tool calls; the latter is what small models know too."""
    tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    return [*tools, "--reasoning-parser", "qwen3"] if _thinks(config) else tools


def _thinks(config: EngineConfig) -> bool:
    return bool(config.thinking_sampling) or "qwen3" in config.model.lower()


def _chosen_sampling(config: EngineConfig) -> dict[str, float | int]:
    """vLLM has one set of defaults, so that of thinking is used wherever a model may think."""
    return (config.thinking_sampling if _thinks(config) else {}) or config.default_sampling


def _sampling(config: EngineConfig) -> list[str]:
    """The makers' recommendation, for what a request leaves open."""
    chosen = _chosen_sampling(config)
    return ["--override-generation-config", json.dumps(chosen)] if chosen else []


def _adapters(config: EngineConfig) -> list[str]:
    if not config.adapters:
        return []
    modules = [f"{adapter.name}={adapter.folder}" for adapter in config.adapters]
    rank = max(_rank(Path(adapter.folder)) for adapter in config.adapters)
    return ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", *modules]


def _rank(folder: Path) -> int:
    """The smallest rank that vLLM offers and that holds this adapter."""
    try:
        rank = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(
            "%(folder)s is no adapter in peft's layout: its adapter_config.json has no rank "
            "(%(error)s).",
            param="adapter",
            folder=folder,
            error=error,
        ) from None
    offered = (8, 16, 32, 64, 128, 256, 320, 512)
    return next((size for size in offered if size >= rank), offered[-1])


def _yarn(factor: float, native_context: int) -> str:
    scaling = {
        "rope_type": "yarn",
        # An override replaces the dictionary whole. Only Qwen3 is stretched, and this is its base.
        "rope_theta": 1_000_000.0,
        "factor": factor,
        "original_max_position_embeddings": native_context,
    }
    return json.dumps({"rope_parameters": scaling})


def _environment(config: EngineConfig) -> dict[str, str]:
    """The key, no statistics to its makers, and our own store of fetched models."""
    store = Path(config.cache_dir)
    values = {"VLLM_API_KEY": config.key, "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1"}
    if config.source.kind != "hub":
        return values | {"HF_HUB_OFFLINE": "1"}
    hub = hub_of(config.hub_endpoint)
    if hub.kind == "modelscope":
        return values | {"VLLM_USE_MODELSCOPE": "1", "MODELSCOPE_CACHE": str(store / "modelscope")}
    return values | {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(store / "hub")}


def _facts(config: EngineConfig) -> EngineFacts:
    """What is known before it runs; the harness asks it for the rest."""
    return EngineFacts(
        model=config.model,
        backend="vllm",
        engine_version="",
        precision=config.precision,
        context_length=config.context_length,
        kv_tokens=config.kv_tokens,
        max_concurrency=config.max_concurrency,
        capabilities=(*CAPABILITIES, *(["adapters"] if config.adapters else [])),
        thinking=_thinks(config),
        adapters=tuple(adapter.name for adapter in config.adapters),
        default_sampling=_chosen_sampling(config),
        model_hash=config.source.sha256,
    )
