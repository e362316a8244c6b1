"""A step's operations on a card: products of matrices, and our kernels between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from appliance.engine.worker.backends.decode.nvrtc import compiled
from appliance.engine.worker.backends.decode.products import Products
from appliance.engine.worker.backends.decode.reading import Block, Decoder

_SOURCE = Path(__file__).with_name("kernels.cu")
_NAMES = ("add_norm", "gated", "turn_and_keep", "attend")
_HALF = (torch.bfloat16, torch.float16)
# What the kernels' loads and their shared memory allow.
_SIZES, _LARGEST_GROUP, _EIGHT = (64, 128), 8, 8
_THREADS = 128
# Blocks of attention that a multiprocessor should have, and stretches that merging is worth.
_BLOCKS_EACH, _MOST_SPLITS = 2, 32


def can_run(decoder: Decoder) -> bool:
    """Whether the kernels know such numbers and shapes."""
    dtype, width = decoder.last_norm.dtype, len(decoder.last_norm)
    inner = decoder.blocks[0].gate.out_features
    return (
        dtype in _HALF
        and all(each.dtype == dtype for each in (decoder.embeddings.weight, *decoder.in_full()))
        and decoder.size in _SIZES
        and decoder.heads // decoder.shared <= _LARGEST_GROUP
        and not (decoder.heads % decoder.shared or width % _EIGHT or inner % _EIGHT)
    )


class Kernels:
    """Compiled for one model and one card. Raises RuntimeError where they cannot be."""

    def __init__(self, decoder: Decoder, page_tokens: int) -> None:
        weight = decoder.last_norm
        self.decoder = decoder
        self.multiprocessors = torch.cuda.get_device_properties(weight.device).multi_processor_count
        defines = {
            "BF16": int(weight.dtype == torch.bfloat16),
            "WIDTH": len(weight),
            "HEADS": decoder.heads,
            "SHARED": decoder.shared,
            "SIZE": decoder.size,
            "PAGE": page_tokens,
            "NORMED": int(decoder.blocks[0].query_norm is not None),
        }
        source = _SOURCE.read_text(encoding="utf-8")
        self.kernels: Mapping[str, Any] = compiled(source, _NAMES, defines, weight.device)
        # Of the attention's heads, where there are so few that they are split; it leaves them at
        # zero.
        most = _BLOCKS_EACH * self.multiprocessors
        self.arrived = torch.zeros(most, dtype=torch.int32, device=weight.device)
        self.products = Products(weight.device, weight.dtype)

    def launch(
        self, name: str, grid: tuple[int, int, int], threads: int, *arguments: object
    ) -> None:
        self.kernels[name](grid=grid, block=(threads, 1, 1), args=list(arguments))


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where the rows of a step stand: `positions` [rows], `pages` [rows, most], both int32; and the
    keys and values of each layer [pages, page_tokens, shared, size]."""

    positions: torch.Tensor
    pages: torch.Tensor
    cache: Any


class OnCard:
    """Of one step. Nothing here waits for the card, so a graph can hold it."""

    def __init__(self, kernels: Kernels, place: Place) -> None:
        decoder = kernels.decoder
        self._kernels, self._decoder, self._place = kernels, decoder, place
        self._rows = len(place.positions)
        weight = decoder.last_norm
        cos, sin = decoder.rotary(weight, place.positions[None])
        self._cos, self._sin = cos[0].contiguous(), sin[0].contiguous()
        blocks = self._rows * decoder.shared
        wanted = -(-_BLOCKS_EACH * kernels.multiprocessors // blocks)
        self._splits = max(1, min(_MOST_SPLITS, wanted, place.pages.shape[1]))
        parts = (self._rows, decoder.heads, self._splits, decoder.size)
        self._parts = torch.empty(parts, dtype=torch.float32, device=weight.device)
        self._sums = torch.empty((*parts[:3], 2), dtype=torch.float32, device=weight.device)

    def norm(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return self._norm(hidden, hidden, weight, 0)

    def add_norm(
        self, hidden: torch.Tensor, more: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        return self._norm(hidden, more, weight, 1)

    def _norm(
        self, hidden: torch.Tensor, more: torch.Tensor, weight: torch.Tensor, adds: int
    ) -> torch.Tensor:
        out = torch.empty_like(hidden)
        arguments = (hidden, more, weight, out, adds, self._decoder.epsilon)
        self._kernels.launch("add_norm", (self._rows, 1, 1), 4 * _THREADS, *arguments)
        return out

    def project(self, hidden: torch.Tensor, *layers: nn.Module) -> list[torch.Tensor]:
        return self._kernels.products.project(hidden, layers)

    def gated(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(gate)
        eights = gate.numel() // _EIGHT
        grid = (-(-eights // _THREADS), 1, 1)
        self._kernels.launch("gated", grid, _THREADS, gate, up, out, eights)
        return out

    def attend(
        self, block: Block, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        decoder, place = self._decoder, self._place
        keys, values = place.cache.layer_to_allocator[block.index].get_cache_for_block_table(
            block.index
        )
        norms = (query, key) if block.query_norm is None else (block.query_norm, block.key_norm)
        turned, found = torch.empty_like(query), torch.empty_like(query)
        where = (place.pages, place.pages.shape[1], place.positions)
        self._kernels.launch(
            "turn_and_keep",
            (decoder.heads + 2 * decoder.shared, self._rows, 1),
            decoder.size // 2,
            *(query, key, value, *norms, self._cos, self._sin, turned, keys, values),
            *(*where, decoder.epsilon),
        )
        self._kernels.launch(
            "attend",
            (decoder.shared, self._rows, self._splits),
            _THREADS,
            *(turned, keys, values, *where, self._parts, self._sums),
            *(self._kernels.arrived, found, self._splits, decoder.scale),
        )
        return found
