"""The table of input embeddings, kept in RAM beside a model that is on a card.

A step needs one row of it a token, 8 KB of Qwen3-8B's 1.2 GB, which on a card are the cache of
8,000 tokens. llama.cpp keeps it there for the same reason.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class EmbeddingsInRam(nn.Module):  # type: ignore[misc]
    """Rows of `weight` [vocabulary, width], looked up by the host and sent to `device`.

    The table is no parameter: a model says of itself that it is where its first parameter is.
    """

    weight: torch.Tensor

    def __init__(self, weight: torch.Tensor, device: torch.device) -> None:
        super().__init__()
        self.weight = weight.detach().to("cpu")
        self.device = device

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`tokens` of any shape, which are waited for."""
        return self.weight[tokens.cpu()].to(self.device)

    def look_up(self, tokens: torch.Tensor, rows: torch.Tensor) -> None:
        """Of tokens [n] that the host knows, into `rows` [n, width], which the host can reach."""
        torch.index_select(self.weight, 0, tokens, out=rows)


def keep_in_ram(model: Any) -> bool:
    """Whether it could be: a head that shares the table reads all of it in every step."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    # What scales its rows, or was changed by an adapter, is of another class.
    if type(table) is not nn.Embedding or head is None or head.weight is table.weight:
        return False
    model.set_input_embeddings(EmbeddingsInRam(table.weight, table.weight.device))
    return True
