"""How an accepted candidate uses the memory: context, places, KV cache, vLLM's share of a card."""

from __future__ import annotations

import math
from dataclasses import dataclass

from appliance.fit.hardware import GIB, MIB
from appliance.fit.sizing import PAGE, WORTH_QUANTISING, Candidate, Place, whole_pages

MODEST_KV_BYTES = GIB
"""On a CPU, and for a very small model anywhere, the KV cache stops growing here, or at the
tokens that are needed if they take more: the machine has other things to do."""
VLLM_GRAPHS = 512 * MIB
"""The part of vLLM's overhead that it takes beyond the share of the card which it is given."""


@dataclass(frozen=True, slots=True)
class Room:
    """How an accepted candidate uses its KV cache."""

    kv_tokens: int
    context_length: int
    max_concurrency: int
    yarn_factor: float | None = None


def share_out(candidate: Candidate, context_length: int | None) -> Room:
    """Context and places for a candidate that fits. The wishes win over our own choice."""
    entry = candidate.entry
    tokens = _reasonable(candidate)
    context = min(context_length or entry.context_native, entry.context_limit, tokens)
    places = candidate.places(tokens)
    kv_tokens = min(tokens, whole_pages(context) * places)
    return Room(kv_tokens, context, places, entry.yarn_factor(context))


def memory_fraction(place: Place, total_bytes: int) -> float | None:
    """vLLM's share of the card's whole memory, so that the display keeps its own; rounded down."""
    if place.engine != "vllm" or place.gpu is None:
        return None
    return math.floor(1e4 * (total_bytes - VLLM_GRAPHS) / place.gpu.total_bytes) / 1e4


def _reasonable(candidate: Candidate) -> int:
    """KV tokens to take, of those for which there is room; whole pages."""
    tiny = candidate.entry.shape.parameters < WORTH_QUANTISING
    if candidate.place.gpu is not None and not tiny:
        return candidate.room_tokens
    modest = MODEST_KV_BYTES // candidate.token_bytes // PAGE * PAGE
    return min(candidate.room_tokens, max(modest, candidate.needed_tokens))
