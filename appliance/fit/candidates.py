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
}


def choose_gpu(hardware: Hardware) -> Gpu | None:
    """The usable card with the most free memory; the first of equals."""
    usable = [gpu for gpu in hardware.gpus if obstacle(gpu) is None]
    return max(usable, key=lambda gpu: (gpu.free_bytes, -gpu.index), default=None)


def candidates(
    entries: tuple[ModelEntry, ...], wish: Wish, hardware: Hardware
) -> tuple[Candidate, ...]:
    """Best first: larger model, then card before CPU, then the finer precision."""
    return tuple(way for entry in entries for way in ways(entry, wish, hardware))


def ways(entry: ModelEntry, wish: Wish, hardware: Hardware) -> Iterator[Candidate]:
    """All ways to run one model that the wish allows, best first."""
    for place in _places(entry, wish, hardware):
        precisions = _precisions(entry, place, wish)
        for precision in precisions:
            last = precision == precisions[-1]
            yield Candidate(entry, precision, place, _needed(entry, wish, last=last))


def _places(entry: ModelEntry, wish: Wish, hardware: Hardware) -> Iterator[Place]:
    """Where the model may run. A card that exists is used; a CPU is for what suits it."""
    gpu = choose_gpu(hardware)
    if gpu is not None:
        if wish.engine == "vllm" and not entry.is_gguf:
            yield Place("vllm", gpu, gpu.free_bytes)
        elif wish.engine in (AUTO, "transformers"):
            yield Place("transformers", gpu, gpu.free_bytes)
    # A large model beside an idle card would crawl: better to say that it does not fit.
    on_cpu = entry.is_gguf or (gpu is None and not entry.auto) or _asked_for(entry, wish, gpu)
    if on_cpu:
        yield from _cpu_places(entry, wish, hardware.ram_available_bytes)


def _asked_for(entry: ModelEntry, wish: Wish, gpu: Gpu | None) -> bool:
    """A catalogue model that the owner named on a machine without a card."""
    return gpu is None and entry.auto and wish.model != AUTO


def _cpu_places(entry: ModelEntry, wish: Wish, free_bytes: int) -> Iterator[Place]:
    engines: tuple[EngineName, ...] = ("openvino", "transformers")
    for engine in engines:
        if wish.engine not in (AUTO, engine) or (engine == "openvino" and not entry.is_gguf):
            continue
        yield Place(engine, None, free_bytes)


def _precisions(entry: ModelEntry, place: Place, wish: Wish) -> tuple[Precision, ...]:
    """The precisions of a place, finest first, as far as the wish allows them."""
    possible: tuple[Precision, ...]
    if place.engine == "openvino":
        possible = ("gguf",)
    elif place.gpu is None:
        possible = ("fp32", "bf16")
    else:
        sixteen: Precision = "bf16" if place.gpu.has_bf16 else "fp16"
        # vLLM quantises with bitsandbytes while loading, to 4 bits only.
        possible = (sixteen, "nf4") if place.engine == "vllm" else (sixteen, "int8", "nf4")
    if wish.precision == AUTO:
        worth_it = entry.shape.parameters >= WORTH_QUANTISING
        return possible if worth_it else possible[:1]
    return tuple(one for one in possible if one in _WISHED[wish.precision])


def _needed(entry: ModelEntry, wish: Wish, *, last: bool) -> int:
    """KV tokens without which this way is not worth taking."""
    if wish.context_length is not None:
        return whole_pages(min(wish.context_length, entry.context_max))
    return whole_pages(min(MINIMUM_TOKENS if last else COMFORTABLE_TOKENS, entry.context_native))
