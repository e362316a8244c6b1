"""The loop that a card takes, computed on a processor: everything but graphs and kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import appliance.engine.worker.backends.transformers as backend_module
from appliance.engine.worker.backends.decode.on_cpu import OnCpu
from appliance.engine.worker.backends.decode.reading import Decoder, read
from appliance.engine.worker.backends.decode.steps import logits
from appliance.engine.worker.backends.decode.tables import Tables
from appliance.engine.worker.backends.embeddings import keep_in_ram
from appliance.engine.worker.backends.transformers import PAGE_TOKENS, TransformersBackend


class OnTables:
    """What a graph reads and nothing else, told to a processor in the library's words."""

    def __init__(self, decoder: Decoder, tables: Tables, cache: Any) -> None:
        self._decoder, self._tables, self._cache = decoder, tables, cache
        self.steps = 0

    def logits(self) -> torch.Tensor:
        self.steps += 1
        tables = self._tables
        # As a graph does, it also computes rows that nobody asks for.
        rows = min(len(tables.tokens), tables.rows + 2)
        places = [self._places(row) for row in range(rows)]
        ends = torch.tensor([0, *(len(each) for each in places)]).cumsum(0).int()
        step = {
            "cache": self._cache,
            "position_ids": tables.positions[None, :rows],
            "write_index": [torch.stack([each[-1] for each in places])],
            "read_index": [torch.cat(places)],
            "cu_seq_lens_q": torch.arange(rows + 1, dtype=torch.int32),
            "cu_seq_lens_k": {"full_attention": ends},
            "max_length_k": {"full_attention": max(map(len, places))},
        }
        hidden = tables.embedded(rows, self._decoder.embeddings)
        wanted = tables.wanted[:rows]
        found = logits(self._decoder, OnCpu(self._decoder, step), hidden, wanted)
        return found[: tables.asked]

    def _places(self, row: int) -> torch.Tensor:
        """Where a row's keys lie, its newest last."""
        length = int(self._tables.positions[row]) + 1
        pages = self._tables.pages[row, : -(-length // PAGE_TOKENS)].long()
        return (pages[:, None] * PAGE_TOKENS + torch.arange(PAGE_TOKENS)).flatten()[:length]


def warm_up_as_on_a_card(
    backend: TransformersBackend, steps: type[OnTables] = OnTables
) -> list[OnTables]:
    """What the steps were made of, in place of graphs. Embeddings move as they do beside a card."""
    keep_in_ram(backend._model)
    made: list[OnTables] = []

    def captured(decoder: Decoder, tables: Tables, cache: Any) -> OnTables:
        made.append(steps(decoder, tables, cache))
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend_module, "captured", captured)
        patch.setattr(backend, "_kernels", read(backend._model))
        backend.warm_up()
    return made
