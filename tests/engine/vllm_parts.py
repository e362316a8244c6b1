"""An order to vLLM as the planner gives it for a card."""

from __future__ import annotations

from appliance.engine.config import EngineConfig, ModelSource

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
