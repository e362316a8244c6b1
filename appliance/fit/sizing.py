"""Memory arithmetic: does a model fit in a place, and how much KV cache is left over?

Pure numbers: no reasons, no choice between models. All sizes are bytes or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.engine.config import Precision
from appliance.fit.catalogue import ModelEntry
from appliance.fit.hardware import GIB, MIB, Gpu

EngineName = Literal["transformers", "openvino", "vllm", "remote"]

PAGE = 256
"""KV caches are cut into pages of this many tokens, so every budget is a multiple of it."""

COMFORTABLE_TOKENS = 12_288
"""A precision is taken only if it leaves this much KV cache, while a smaller one is possible:
three people with 4,096 tokens each, thinking included."""
MINIMUM_TOKENS = 6_144
"""The smallest precision of a model must leave this much: one long conversation."""

DISPLAY_MARGIN = 256 * MIB
"""Kept free on a card: the browser that shows our pages draws on the same one."""
RAM_MARGIN = 768 * MIB
"""Kept free in RAM for the pages, the ledger and the owner's browser."""
OVERHEAD: dict[tuple[EngineName, bool], int] = {
    ("transformers", True): GIB,
    ("vllm", True): 2 * GIB,
    ("transformers", False): 768 * MIB,
    ("openvino", False): 384 * MIB,
}
"""What an engine takes besides weights and KV cache, by (engine, on a card): the CUDA context,
libraries, activations of a prefill; vLLM also keeps CUDA graphs."""

TOKENS_PER_REQUEST = 2_048
"""What a request typically holds, for turning KV tokens into a number of places."""
MODEST_KV_BYTES = GIB
"""On a CPU, and for a very small model anywhere, the KV cache stops growing here, or at the
tokens that are needed if they take more: the machine has other things to do."""

WORTH_QUANTISING = 300_000_000
"""Below this many parameters, quantisation saves less than it spoils."""
_SMALL_MODEL = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine would run, and the memory that is free there now."""

    engine: EngineName
    gpu: Gpu | None
    free_bytes: int

    @property
    def device(self) -> str:
        return "cpu" if self.gpu is None else f"cuda:{self.gpu.index}"

    @property
    def margin_bytes(self) -> int:
        return RAM_MARGIN if self.gpu is None else DISPLAY_MARGIN

    @property
    def overhead_bytes(self) -> int:
        return OVERHEAD[self.engine, self.gpu is not None]

    @property
    def budget_bytes(self) -> int:
        """What weights, KV cache and overhead together may take."""
        return max(0, self.free_bytes - self.margin_bytes)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model. It is acceptable when `needed_tokens` of KV cache are left."""

    entry: ModelEntry
    precision: Precision
    place: Place
    needed_tokens: int

    @property
    def weight_bytes(self) -> int:
        return self.entry.weight_bytes(self.precision)

    @property
    def token_bytes(self) -> int:
        """KV cache of one token; it has the precision of the activations."""
        return self.entry.shape.kv_bytes_per_token(4 if self.precision == "fp32" else 2)

    @property
    def room_tokens(self) -> int:
        """Tokens of KV cache that fit beside the weights, in whole pages; 0 when none do."""
        left = self.place.budget_bytes - self.place.overhead_bytes - self.weight_bytes
        return max(0, left // (self.token_bytes * PAGE)) * PAGE

    @property
    def least_bytes(self) -> int:
        """The smallest budget in which this candidate would be acceptable."""
        cache = self.needed_tokens * self.token_bytes
        return self.weight_bytes + self.place.overhead_bytes + cache

    @property
    def fits(self) -> bool:
        return self.room_tokens >= self.needed_tokens


@dataclass(frozen=True, slots=True)
class Room:
    """How an accepted candidate uses its KV cache."""

    kv_tokens: int
    context_length: int
    max_concurrency: int


def share_out(
    candidate: Candidate, context_length: int | None, max_concurrency: int | None
) -> Room:
    """Context and places for a candidate that fits. The wishes win over our own choice."""
    entry = candidate.entry
    tokens = _reasonable(candidate)
    context = min(context_length or entry.context_native, entry.context_max, tokens)
    places = max_concurrency or _places(candidate, tokens)
    return Room(min(tokens, whole_pages(context) * places), context, places)


def whole_pages(tokens: int) -> int:
    return -(-tokens // PAGE) * PAGE


def _places(candidate: Candidate, tokens: int) -> int:
    """As many requests at once as the cache feeds and the processor keeps pleasant."""
    if candidate.place.gpu is not None:
        most = 32
    else:
        most = 16 if candidate.entry.shape.parameters < _SMALL_MODEL else 4
    return max(1, min(most, tokens // TOKENS_PER_REQUEST))


def _reasonable(candidate: Candidate) -> int:
    """KV tokens to take, of those for which there is room; whole pages."""
    tiny = candidate.entry.shape.parameters < WORTH_QUANTISING
    if candidate.place.gpu is not None and not tiny:
        return candidate.room_tokens
    modest = MODEST_KV_BYTES // candidate.token_bytes // PAGE * PAGE
    return min(candidate.room_tokens, max(modest, candidate.needed_tokens))
