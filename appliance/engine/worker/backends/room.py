"""Whether a card has room for the largest step, found out when a model is loaded.

What a step takes beside weights and cache cannot all be foreseen: a driver's context, the kernels
that libraries choose, CUDA graphs. The plan's figures are guesses, and here they meet the card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from appliance.engine.memory import DISPLAY_MARGIN, attention_bytes
from appliance.engine.worker.failure import LoadFailure

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of a card: `free` by its driver, `reserved` by torch, `step` at the most while the
    largest step ran, above what is held for good."""

    total: int
    free: int
    reserved: int
    step: int

    def lacking(self, more: int) -> int:
        """What is missing for such a step with `more` bytes; 0 or less: nothing."""
        return self.step + more + DISPLAY_MARGIN - self.free

    @property
    def share(self) -> float:
        """Of the whole card, what torch may take without touching the margin."""
        return min(1.0, (self.reserved + max(0, self.free - DISPLAY_MARGIN)) / self.total)


def measured() -> Room:
    """After the largest step: what torch keeps for the next one counts as free."""
    step = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return Room(total, free, torch.cuda.memory_reserved(), step)


def claim(room: Room, more: int) -> None:
    """Keep to what is there. Raises LoadFailure `out_of_memory` when it does not suffice."""
    lacking = room.lacking(more)
    if lacking > 0:
        raise LoadFailure(
            "out_of_memory",
            f"the largest step takes {-(-(room.step + more) // _MIB)} MiB of the card, and "
            f"{DISPLAY_MARGIN // _MIB} MiB stay free for the display: "
            f"{-(-lacking // _MIB)} MiB are missing.",
        )
    # Otherwise torch would keep freed memory until nothing is left for the display.
    torch.cuda.set_per_process_memory_fraction(room.share)


def full_cache_bytes(model: Any, keys: int, step_tokens: int, *, separate: bool) -> int:
    """What attention of one step takes to read `keys` tokens of cache: all layers in turn.

    Keys and values are gathered; the library's own attention also repeats them for every head, and
    hides those of others by a mask. `fit.workspace` reckons with the latter.
    """
    config = model.config.get_text_config()
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    element: int = model.dtype.itemsize
    if separate:
        return int(2 * keys * shared * size * element)
    return int(keys * attention_bytes(heads, shared, size, element, step_tokens))
