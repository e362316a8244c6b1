"""How much of a prompt a step reads beside running answers, from what steps took. Knows no library,
no thread and no clock."""

from __future__ import annotations

# What a step may take while answers run: with the hand-over, a token comes every quarter second.
STEP_SECONDS = 0.15
# What one more block adds to a step, against the average of its blocks: a step has fixed costs.
_NEXT_BLOCK = 0.6


class StepBudget:
    """`tokens` moves between one block and `largest` so that a step takes at most `seconds`.

    It begins with `first`, which nobody has measured yet.
    """

    def __init__(self, *, block_tokens: int, first: int, largest: int, seconds: float) -> None:
        self._block = block_tokens
        self._largest = largest
        self._seconds = seconds
        self.tokens = first

    def observe(self, tokens: int, seconds: float) -> None:
        """A step read `tokens` of prompts and took `seconds`."""
        if tokens < self._block:
            return
        if seconds > self._seconds:
            fitting = int(tokens * self._seconds / seconds)
            self.tokens = max(self._block, fitting - fitting % self._block)
        elif seconds * (1 + _NEXT_BLOCK * self._block / tokens) <= self._seconds:
            # Only what was tried allows more: a small prompt says nothing of a large piece.
            self.tokens = min(self._largest, max(self.tokens, tokens + self._block))
