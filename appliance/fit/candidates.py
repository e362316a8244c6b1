"""Every way to run the models that a wish allows, best first. Knows the rules, not the memory.

The order is the policy, and it is fixed: that is why more memory can never give a worse plan.
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.engine.config import Precision
from appliance.fit.catalogue import ModelEntry
from appliance.fit.hardware import Gpu, Hardware, obstacle
from appliance.fit.sizing import (
    COMFORTABLE_TOKENS,
    MINIMUM_TOKENS,
    SMALL_MODEL,
    WORTH_QUANTISING,
    Candidate,
    EngineName,
    Place,
    whole_pages,
)
from appliance.fit.wish import AUTO, Wish

_WISHED: dict[str, tuple[Precision, ...]] = {
    "16bit": ("bf16", "fp16"),
    "int8": ("int8",),
    "nf4": ("nf4",),
    "fp8": ("fp8",),
    "awq": ("awq",),
}
VLLM_PLATFORM = "linux"


def choose_gpu(hardware: Hardware) -> Gpu | None:
    """The usable card with the most free memory; the first of equals."""
    usable = [gpu for gpu in hardware.gpus if obstacle(gpu) is None]
    return max(usable, key=lambda gpu: (gpu.free_bytes, -gpu.index), default=None)


def candidates(
    entries: tuple[ModelEntry, ...], wish: Wish, hardware: Hardware
) -> tuple[Candidate, ...]:
    """Best first: larger model, then card before CPU, then the better precision."""
    return tuple(way for entry in entries for way in ways(entry, wish, hardware))


def ways(entry: ModelEntry, wish: Wish, hardware: Hardware) -> Iterator[Candidate]:
    """All ways to run one model that the wish allows, best first."""
    for place in _places(entry, wish, hardware):
        precisions = _allowed(_possible(entry, place), entry, place, wish)
        for precision in precisions:
            needed = _needed(entry, wish, last=precision == precisions[-1])
            yield Candidate(entry, precision, place, needed, wish.max_concurrency)


def _places(entry: ModelEntry, wish: Wish, hardware: Hardware) -> Iterator[Place]:
    """Where the model may run. A card that exists is used; a CPU is for what suits it."""
    gpu = choose_gpu(hardware)
    if gpu is not None and wish.engine in (AUTO, "transformers", "vllm"):
        engine: EngineName = "vllm" if wish.engine == "vllm" else "transformers"
        if _reads(engine, entry, hardware):
            yield Place(engine, gpu, gpu.free_bytes)
    if not _suits_cpu(entry, wish, gpu):
        return
    engines: tuple[EngineName, ...] = ("openvino", "transformers", "vllm")
    for engine in engines:
        wished = engine == wish.engine or (wish.engine == AUTO and engine != "vllm")
        if wished and _reads(engine, entry, hardware):
            yield Place(engine, None, hardware.ram_available_bytes)


def _reads(engine: EngineName, entry: ModelEntry, hardware: Hardware) -> bool:
    """Whether the engine can open this kind of weights here."""
    if engine == "vllm":
        return not entry.is_gguf and hardware.platform == VLLM_PLATFORM
    if engine == "transformers" and not hardware.has_torch:
        return False
    return entry.packed is None and (entry.is_gguf or engine == "transformers")


def _suits_cpu(entry: ModelEntry, wish: Wish, gpu: Gpu | None) -> bool:
    """A large model beside an idle card would crawl: better to say that it does not fit."""
    if entry.is_gguf:
        return True
    if gpu is not None:
        return False
    named = not entry.auto or wish.model != AUTO
    return named or (wish.engine == "vllm" and entry.shape.parameters < SMALL_MODEL)


def _possible(entry: ModelEntry, place: Place) -> tuple[Precision, ...]:
    """All that the place can do with the weights, best first."""
    if place.engine == "openvino":
        return ("gguf",)
    if entry.packed is not None:
        return (entry.packed,) if _unpacks(place, entry.packed) else ()
    if place.gpu is None:
        return ("fp32", "bf16")
    sixteen: Precision = "bf16" if place.gpu.has_bf16 else "fp16"
    if place.engine == "transformers":
        return (sixteen, "int8", "nf4")
    # A card with 8-bit floats is twice as fast with them, and holds twice the cache beside them.
    fp8: tuple[Precision, ...] = ("fp8",) if entry.fp8 and _unpacks(place, "fp8") else ()
    awq: tuple[Precision, ...] = ("awq",) if entry.awq else ()
    # vLLM quantises with bitsandbytes while loading, to 4 bits only.
    return (*fp8, sixteen, *awq, "nf4")


def _unpacks(place: Place, precision: Precision) -> bool:
    return place.gpu is not None and (precision != "fp8" or place.gpu.has_fp8)


def _allowed(
    possible: tuple[Precision, ...], entry: ModelEntry, place: Place, wish: Wish
) -> tuple[Precision, ...]:
    if wish.precision != AUTO:
        return tuple(one for one in possible if one in _WISHED[wish.precision])
    if possible and place.engine == "vllm" and place.gpu is not None:
        # The makers' own 4-bit weights are better than ours; one of each size is enough.
        fine = "fp8" if "fp8" in possible else possible[0]
        possible = tuple(dict.fromkeys((fine, "awq" if "awq" in possible else possible[-1])))
    worth_it = entry.shape.parameters >= WORTH_QUANTISING
    return possible if worth_it else possible[:1]


def _needed(entry: ModelEntry, wish: Wish, *, last: bool) -> int:
    """KV tokens without which this way is not worth taking."""
    if wish.context_length is not None:
        return whole_pages(min(wish.context_length, entry.context_limit))
    return whole_pages(min(MINIMUM_TOKENS if last else COMFORTABLE_TOKENS, entry.context_native))
