"""What of a card's memory the planner foresees and the worker checks. Arithmetic alone."""

from __future__ import annotations

DISPLAY_MARGIN = 256 << 20
"""Bytes of a card that are left free: the browser that shows our pages draws on the same one."""

_INDEX_BYTES = 8


def attention_bytes(
    heads: int, kv_heads: int, head_dim: int, element_bytes: int, step_tokens: int
) -> int:
    """Bytes that transformers' own attention takes for each token of the KV cache that a step of
    so many tokens reads: keys and values repeated for all heads, beside values that are not yet;
    one mask."""
    copies = (2 * heads + kv_heads) * head_dim * element_bytes
    return copies + _INDEX_BYTES + step_tokens * element_bytes
