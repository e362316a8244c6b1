"""Steps of a card as CUDA graphs: launched at once instead of kernel by kernel.

A graph has its sizes and addresses for good, so there is one for each of a few numbers of rows. It
reads `tables.Tables`, and rows that are too many work on a page that nobody reads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch

from appliance.engine.worker.backends.decode.on_card import Kernels, OnCard, Place
from appliance.engine.worker.backends.decode.steps import logits
from appliance.engine.worker.backends.decode.tables import Tables

log = logging.getLogger(__name__)


def sizes(most: int) -> Iterator[int]:
    """Numbers of rows: powers of two to eight, then every eighth; the last is `most`."""
    yield from (size for size in (1, 2, 4) if size < most)
    yield from range(8, most, 8)
    yield most


def captured(kernels: Kernels, tables: Tables, cache: object) -> Graphs:
    graphs = Graphs(kernels, tables, cache)
    graphs.capture()
    return graphs


class Graphs:
    """Used by the batching thread only; `cache` is the library's."""

    def __init__(self, kernels: Kernels, tables: Tables, cache: object) -> None:
        self._kernels, self._tables, self._cache = kernels, tables, cache
        self._sizes = list(sizes(len(tables.tokens)))
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._results: dict[int, torch.Tensor] = {}

    def logits(self) -> torch.Tensor:
        """To be used before the next step writes over it."""
        # The tables are sent in the order of another stream.
        torch.cuda.current_stream().wait_stream(torch.cuda.default_stream())
        size = next(size for size in self._sizes if size >= self._tables.rows)
        graph = self._graphs.get(size)
        if graph is None:
            return self._run(size)[: self._tables.asked]
        graph.replay()
        return self._results[size][: self._tables.asked]

    def _run(self, size: int) -> torch.Tensor:
        tables = self._tables
        place = Place(tables.positions[:size], tables.pages[:size], self._cache)
        operations = OnCard(self._kernels, place)
        wanted = tables.wanted[:size]
        decoder = self._kernels.decoder
        return logits(decoder, operations, tables.embedded(size, decoder.embeddings), wanted)

    def capture(self) -> None:
        """The largest first, so that the others find room in its memory."""
        try:
            with torch.no_grad():
                for size in reversed(self._sizes):
                    self._capture(size)
        except RuntimeError as error:  # steps are right without, only slower
            log.warning("Steps are not kept as CUDA graphs: %s", error)
            self._graphs.clear()
            self._results.clear()

    def _capture(self, size: int) -> None:
        """Once for real, for libraries choose and allocate at their first call."""
        self._run(size)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._results[size] = self._run(size)
        self._graphs[size] = graph
