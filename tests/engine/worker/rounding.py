"""The same answer computed twice, alone and in a batch or with its prompt read in other pieces.

Processors with quantised or half-precision arithmetic add up in another order then, and between two
tokens that are about as likely either may win. Anything more than that is a defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# In natural logarithms. Seen with 8-bit activations: 0.1; another row's answer differs by more.
ROUNDING = 0.25

Scores = Sequence[tuple[Any, float]]


def check_same(one: Scores, other: Scores) -> None:
    """Tokens with their log-probabilities are the same up to the first toss-up."""
    for (token, logprob), (twin, its_logprob) in zip(one, other, strict=False):
        assert abs(logprob - its_logprob) <= ROUNDING, (token, logprob, twin, its_logprob)
        if token != twin:
            return
    assert len(one) == len(other)
