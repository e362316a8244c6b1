"""One token further for every request: the decoder's loop, over the operations of a device.

The library's own forward asks some forty questions of Python a layer, which is half of a step's
time on two processor cores and most of it on a card. This one asks ten.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from appliance.engine.worker.backends.decode.reading import Block, Decoder


class Operations(Protocol):
    """What a device does for a step of `rows` requests. Hidden states are [rows, width]."""

    def norm(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor: ...

    def add_norm(
        self, hidden: torch.Tensor, more: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """Adds `more` to `hidden` in place, and returns its norm."""
        ...

    def project(self, hidden: torch.Tensor, *layers: nn.Module) -> list[torch.Tensor]:
        """The same input through several linear layers."""
        ...

    def attend(
        self, block: Block, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Turns queries and keys, keeps keys and values, and attends; [rows, heads x size]."""
        ...

    def gated(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor: ...


def logits(
    decoder: Decoder, operations: Operations, hidden: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """The tokens' embeddings in, which are changed; [wanted rows, vocabulary] out."""
    seen = operations.norm(hidden, decoder.blocks[0].before_attention)
    for block, following in decoder.with_following():
        parts = operations.project(seen, block.query, block.key, block.value)
        (out,) = operations.project(operations.attend(block, *parts), block.out)
        seen = operations.add_norm(hidden, out, block.before_mlp)
        gated = operations.gated(*operations.project(seen, block.gate, block.up))
        (out,) = operations.project(gated, block.down)
        seen = operations.add_norm(hidden, out, following)
    (found,) = operations.project(seen[wanted], decoder.head)
    return found
