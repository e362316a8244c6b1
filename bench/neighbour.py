"""A neighbour on the card, who takes its memory, and a watch over how little is left free."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import pynvml

# What works on a card must not be forked.
Spawned = multiprocessing.get_context("spawn")
_POLL_SECONDS = 0.02


class LeastFree:
    """Watches the first card's free memory from a thread. `bytes` is None where there is none."""

    def __init__(self) -> None:
        self.bytes: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> LeastFree:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        while not self._ended.wait(_POLL_SECONDS):
            free = int(pynvml.nvmlDeviceGetMemoryInfo(card).free)
            self.bytes = free if self.bytes is None else min(self.bytes, free)


@contextmanager
def only(free_bytes: int | None) -> Iterator[None]:
    """A neighbour that leaves so much of the first card free; None: no neighbour."""
    if free_bytes is None:
        yield
        return
    ours, theirs = Spawned.Pipe()
    neighbour = Spawned.Process(target=_take_all_but, args=(free_bytes, theirs), daemon=True)
    neighbour.start()
    theirs.close()
    ours.recv()
    try:
        yield
    finally:
        ours.close()
        neighbour.join()


def _take_all_but(free_bytes: int, told: Connection) -> None:
    import torch

    torch.zeros(1, device="cuda")  # its own context is not free either
    held = torch.empty(torch.cuda.mem_get_info()[0] - free_bytes, dtype=torch.uint8, device="cuda")
    told.send(held.numel())
    with suppress(EOFError):
        told.recv()
