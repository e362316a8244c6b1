"""Memory arithmetic: does a model fit in a place, and how much KV cache is left over?

Pure numbers: no reasons, no choice between models. All sizes are bytes or tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from appliance.engine.config import ModelSource, Precision
from appliance.engine.memory import DISPLAY_MARGIN
from appliance.fit.catalogue import ModelEntry
from appliance.fit.hardware import GIB, MIB, Gpu
from appliance.fit.workspace import spare_tokens, step_bytes, workspace_bytes

EngineName = Literal["transformers", "openvino", "vllm", "remote"]

PAGE = 256
"""KV caches are cut into pages of this many tokens, so every budget is a multiple of it."""

COMFORTABLE_TOKENS = 12_288
"""A precision is taken only if it leaves this much KV cache, while a smaller one is possible:
three people with 4,096 tokens each, thinking included."""
MINIMUM_TOKENS = 6_144
"""The smallest precision of a model must leave this much: one long conversation."""

RAM_MARGIN = 768 * MIB
"""Kept free in RAM for the pages, the ledger and the owner's browser."""
OVERHEAD: dict[tuple[EngineName, bool], int] = {
    ("transformers", True): 896 * MIB,
    ("vllm", True): 2 * GIB,
    ("transformers", False): 768 * MIB,
    ("openvino", False): 384 * MIB,
    ("vllm", False): 2 * GIB,
}
"""What an engine takes besides weights, steps and what grows with the KV cache, by (engine, on a
card): the CUDA context, libraries and their kernels, CUDA graphs; of vLLM also its steps, and on a
CPU its compiler. What ours truly takes is measured when it has loaded."""
TOKENS_PER_REQUEST = 2_048
"""What a request typically holds, for turning KV tokens into a number of places."""
WORTH_QUANTISING = 300_000_000
"""Below this many parameters, quantisation saves less than it spoils."""
SMALL_MODEL = 1_000_000_000
"""Below this many parameters a model answers at a pleasant speed on a CPU."""
_MOST_PLACES = 32
_MOST_PLACES_CPU = 16
_MOST_PLACES_CPU_LARGE = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine would run, and the memory that is free there now. `reserve_bytes` are left
    alone after it turned out that more is needed than was reckoned with."""

    engine: EngineName
    gpu: Gpu | None
    free_bytes: int
    reserve_bytes: int = 0

    @property
    def device(self) -> str:
        return "cpu" if self.gpu is None else f"cuda:{self.gpu.index}"

    @property
    def is_our_card(self) -> bool:
        """A card, with our own engine on it."""
        return self.engine == "transformers" and self.gpu is not None

    @property
    def margin_bytes(self) -> int:
        return self.reserve_bytes + (RAM_MARGIN if self.gpu is None else DISPLAY_MARGIN)

    @property
    def overhead_bytes(self) -> int:
        """What the engine takes whatever the size of its KV cache."""
        return OVERHEAD[self.engine, self.gpu is not None]

    @property
    def budget_bytes(self) -> int:
        """What weights, KV cache and overhead together may take."""
        return max(0, self.free_bytes - self.margin_bytes)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model. It is acceptable when `needed_tokens` of KV cache are left.

    `wished_places` is how many requests at once the owner asked for, if at all.
    """

    entry: ModelEntry
    precision: Precision
    place: Place
    needed_tokens: int
    wished_places: int | None = None

    @property
    def source(self) -> ModelSource:
        return self.entry.source_for(self.precision)

    @property
    def weight_bytes(self) -> int:
        """In this place: beside a card, our engine keeps the table of input embeddings in RAM."""
        whole = self.entry.weight_bytes(self.precision)
        return whole - self.entry.shape.table_bytes if self.place.is_our_card else whole

    @property
    def token_bytes(self) -> int:
        """KV cache of one token; it has the precision of the activations."""
        return self.entry.shape.kv_bytes_per_token(self._element_bytes)

    @property
    def room_tokens(self) -> int:
        """Tokens of KV cache that fit beside the weights, in whole pages; 0 when none do."""
        left = self.place.budget_bytes - self.weight_bytes
        pages = range(max(0, left) // (self.token_bytes * PAGE) + 1)
        return PAGE * max(
            0, bisect_right(pages, left, key=lambda n: self.beside_weights(n * PAGE)) - 1
        )

    @property
    def least_bytes(self) -> int:
        """The smallest budget in which this candidate would be acceptable."""
        return self.weight_bytes + self.beside_weights(self.needed_tokens)

    def beside_weights(self, tokens: int) -> int:
        """Everything but the weights, when the KV cache holds so many tokens."""
        places = self.places(tokens)
        return self.cache_bytes(tokens, places) + self.overhead_bytes(tokens, places)

    def places(self, tokens: int) -> int:
        """As many requests at once as the cache feeds and the processor keeps pleasant, or as were
        wished."""
        if self.wished_places is not None:
            return self.wished_places
        most = _MOST_PLACES
        if self.place.gpu is None:
            small = self.entry.shape.parameters < SMALL_MODEL
            most = _MOST_PLACES_CPU if small else _MOST_PLACES_CPU_LARGE
        return max(1, min(most, tokens // TOKENS_PER_REQUEST))

    def cache_bytes(self, tokens: int, places: int) -> int:
        """What a KV cache takes that holds so many tokens however requests are cut into blocks."""
        return (tokens + spare_tokens(self.place.engine, places)) * self.token_bytes

    def overhead_bytes(self, tokens: int, places: int) -> int:
        """What the engine takes besides the weights and such a KV cache."""
        each = workspace_bytes(
            self.place.engine,
            self.entry.shape,
            self._element_bytes,
            places,
            on_card=self.place.gpu is not None,
        )
        spare = spare_tokens(self.place.engine, places)
        step = 0
        if self.place.is_our_card:
            step = step_bytes(self.entry.shape, self.precision, places)
        return self.place.overhead_bytes + step + (tokens + spare) * each

    @property
    def _element_bytes(self) -> int:
        return 4 if self.precision == "fp32" else 2

    @property
    def fits(self) -> bool:
        return self.room_tokens >= self.needed_tokens


def whole_pages(tokens: int) -> int:
    return -(-tokens // PAGE) * PAGE
