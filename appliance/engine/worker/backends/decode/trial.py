"""Whether a card's own steps compute what the library's do, on this very card and model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

# bitsandbytes' int8 rounds activations, ours does not: over all layers that is some hundredths.
_LIKENESS = 0.3


@contextmanager
def last_logits(model: Any) -> Iterator[list[torch.Tensor]]:
    """What the model said last of its first row, [vocabulary], once it has said something."""
    forward = model.forward
    seen: list[torch.Tensor] = []

    @wraps(forward)
    def watched(*args: Any, **batch: Any) -> Any:
        found = forward(*args, **batch)
        seen[:] = [found.logits[0, 0].float().clone()]
        return found

    model.forward = watched
    try:
        yield seen
    finally:
        model.forward = forward


def alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """By their distance, relative to how much the expected ones differ among themselves."""
    apart = (found - expected).norm() / (expected - expected.mean()).norm()
    return bool(apart < _LIKENESS)
