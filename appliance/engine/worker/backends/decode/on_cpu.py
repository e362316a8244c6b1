"""A step's operations on a processor, with torch alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from appliance.engine.worker.backends.attention import in_bundles
from appliance.engine.worker.backends.decode.reading import Block, Decoder

# Up to how many times as many keys as there are, one call for all requests is faster than bundles.
_PADDING = 2


class OnCpu:
    """Of one step. `step` is what the library hands to a model: see its PagedAttentionArgs."""

    def __init__(self, decoder: Decoder, step: dict[str, Any]) -> None:
        self._decoder = decoder
        self._width = decoder.embeddings.weight.shape[1:]
        cos, sin = decoder.rotary(decoder.embeddings.weight, step["position_ids"])
        # Each half of a head turns against the other, the first the other way round.
        sin = torch.cat((-sin[..., : decoder.size // 2], sin[..., decoder.size // 2 :]), dim=-1)
        self._cos, self._sin = cos.transpose(0, 1), sin.transpose(0, 1)
        self._cache = step["cache"]
        self._write, self._read = step["write_index"][0], step["read_index"][0]
        (self._ends,) = step["cu_seq_lens_k"].values()
        self._longest = max(step["max_length_k"].values())
        self._rows = len(self._write)
        self._begins = step["cu_seq_lens_q"]
        self._mask: torch.Tensor | None = None
        if self._rows > 1 and self._rows * self._longest <= _PADDING * len(self._read):
            self._pad()

    def _pad(self) -> None:
        """As many keys for each request; those of others are hidden by the mask."""
        begins, ends = self._ends[:-1, None], self._ends[1:, None]
        places = begins + torch.arange(self._longest)
        self._mask = (places < ends)[:, None, None]
        self._read = self._read[places.minimum(ends - 1).flatten()]

    def norm(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(hidden, self._width, weight, self._decoder.epsilon)

    def add_norm(
        self, hidden: torch.Tensor, more: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        return self.norm(hidden.add_(more), weight)

    def project(self, hidden: torch.Tensor, *layers: nn.Module) -> list[torch.Tensor]:
        return [layer(hidden) for layer in layers]

    def gated(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return silu(gate, inplace=True).mul_(up)

    def attend(
        self, block: Block, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        asking = self._turned(query, block.query_norm)
        keys, values = self._cache.layer_to_allocator[block.index]._kv_token_views[block.index]
        keys.index_copy_(0, self._write, self._turned(key, block.key_norm))
        values.index_copy_(0, self._write, self._heads(value))
        keys, values = keys.index_select(0, self._read), values.index_select(0, self._read)
        if self._mask is None:
            ends, longest = (self._begins, self._ends), (1, self._longest)
            found = in_bundles(asking, keys, values, *ends, *longest, self._decoder.scale)
        else:
            found = self._at_once(asking, keys, values)
        return found.reshape(self._rows, -1)

    def _at_once(
        self, asking: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """Heads that share keys are asked together, so that no key has to be repeated."""
        shared, size = self._decoder.shared, self._decoder.size
        padded = (self._rows, self._longest, shared, size)
        return scaled_dot_product_attention(
            asking.view(self._rows, shared, -1, size),
            keys.view(padded).transpose(1, 2),
            values.view(padded).transpose(1, 2),
            attn_mask=self._mask,
            scale=self._decoder.scale,
        )

    def _heads(self, flat: torch.Tensor) -> torch.Tensor:
        return flat.view(self._rows, -1, self._decoder.size)

    def _turned(self, flat: torch.Tensor, norm: torch.Tensor | None) -> torch.Tensor:
        heads = self._heads(flat)
        if norm is not None:
            heads = rms_norm(heads, norm.shape, norm, self._decoder.epsilon)
        return torch.addcmul(heads * self._cos, heads.roll(self._decoder.size // 2, -1), self._sin)
