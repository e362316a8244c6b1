"""The planner's answer: what runs where, how much memory it takes, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from appliance.domain import Phrase
from appliance.engine.config import Adapter, EngineConfig, ModelSource, Precision
from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry
from appliance.fit.hardware import Gpu
from appliance.fit.sizing import EngineName


class Reason(NamedTuple):
    """One decision in words. `subject`: model, precision, device, driver, memory, context,
    concurrency, engine or disk."""

    subject: str
    phrase: Phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A complete decision. `total_bytes` = weights + KV cache + overhead ≤ `budget_bytes`.

    `kv_bytes` is a little more than `kv_tokens` take: requests fill whole blocks. `yarn_factor` is
    set when the context is longer than the model's own positions, `gpu_memory_fraction` (of the
    card's whole memory) when vLLM runs on a card.

    For a remote engine all sizes are 0, `entry` and `precision` are None, and a length or a
    number of 0 means that only the other server knows. `fallbacks` are tried in this order when
    loading fails, and before them `leaner`, the same with ever less cache, when memory was short;
    theirs are empty.
    """

    engine: EngineName
    device: str
    model: str
    source: ModelSource
    context_length: int
    max_concurrency: int
    reasons: tuple[Reason, ...]
    gpu: Gpu | None = None
    entry: ModelEntry | None = None
    precision: Precision | None = None
    weight_bytes: int = 0
    kv_bytes: int = 0
    kv_tokens: int = 0
    overhead_bytes: int = 0
    total_bytes: int = 0
    budget_bytes: int = 0
    threads: int | None = None
    default_sampling: dict[str, float | int] = field(default_factory=dict)
    thinking_sampling: dict[str, float | int] = field(default_factory=dict)
    yarn_factor: float | None = None
    gpu_memory_fraction: float | None = None
    leaner: tuple[Plan, ...] = ()
    fallbacks: tuple[Plan, ...] = ()

    def engine_config(
        self,
        key: str,
        cache_dir: str,
        *,
        hub_endpoint: str | None = None,
        threads: int | None = None,
        adapters: tuple[Adapter, ...] = (),
    ) -> EngineConfig:
        """The order for our own worker, or for vLLM. Raises SetupError for a remote engine."""
        if self.precision is None or self.engine == "remote":
            raise SetupError(
                "Engine %(engine)s is not started by this appliance.",
                param="engine",
                engine=self.engine,
            )
        return EngineConfig(
            backend=self.engine,
            model=self.model,
            source=self.source,
            precision=self.precision,
            context_length=self.context_length,
            kv_tokens=self.kv_tokens,
            max_concurrency=self.max_concurrency,
            key=key,
            cache_dir=cache_dir,
            hub_endpoint=hub_endpoint,
            threads=threads or self.threads,
            default_sampling=self.default_sampling,
            thinking_sampling=self.thinking_sampling,
            yarn_factor=self.yarn_factor,
            native_context=self.entry.context_native if self.entry else None,
            gpu_memory_fraction=self.gpu_memory_fraction,
            kv_bytes=self.kv_bytes,
            adapters=adapters,
        )

    def environment(self) -> dict[str, str]:
        """Variables that tie the engine process to the planned card, or keep it off all cards.

        By UUID, because CUDA numbers cards in another order than the driver.
        """
        if self.engine == "remote":
            return {}
        if self.gpu is None:
            return {"CUDA_VISIBLE_DEVICES": "-1"}
        return {
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": self.gpu.uuid or str(self.gpu.index),
        }

    def to_dict(self) -> dict[str, Any]:
        """Values that `json.dumps` takes; reasons become English sentences."""
        return {
            "engine": self.engine,
            "device": self.device,
            "model": self.model,
            "source": asdict(self.source),
            "precision": self.precision,
            "weight_bytes": self.weight_bytes,
            "kv_bytes": self.kv_bytes,
            "kv_tokens": self.kv_tokens,
            "overhead_bytes": self.overhead_bytes,
            "total_bytes": self.total_bytes,
            "budget_bytes": self.budget_bytes,
            "context_length": self.context_length,
            "max_concurrency": self.max_concurrency,
            "default_sampling": self.default_sampling,
            "thinking_sampling": self.thinking_sampling,
            "yarn_factor": self.yarn_factor,
            "gpu_memory_fraction": self.gpu_memory_fraction,
            "reasons": [{"subject": one.subject, "text": str(one.phrase)} for one in self.reasons],
            "fallbacks": [one.to_dict() for one in self.fallbacks],
        }
