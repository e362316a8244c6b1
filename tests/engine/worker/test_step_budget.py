"""How much of a prompt a step reads beside running answers."""

from __future__ import annotations

import pytest

from appliance.engine.worker.backends.step_budget import StepBudget

BLOCK = 32
LARGEST = 128
SECONDS = 0.15


def budget_of() -> StepBudget:
    return StepBudget(block_tokens=BLOCK, first=2 * BLOCK, largest=LARGEST, seconds=SECONDS)


@pytest.mark.parametrize(
    ("fixed", "first", "growth"),
    [(0.06, 0.0016, 0.0), (0.06, 0.0016, 5e-7), (0.005, 0.0002, 1e-8), (0.02, 0.001, 2e-7)],
)
def test_budget_keeps_steps_short_on_any_machine(fixed: float, first: float, growth: float) -> None:
    """Costs as measured: something fixed, and more a token the further into the prompt it is."""
    budget = budget_of()
    position, too_long = 0, 0
    while position < 6000:
        tokens = budget.tokens
        seconds = fixed + tokens * (first + growth * position)
        too_long += seconds > 1.1 * SECONDS and tokens > BLOCK
        budget.observe(tokens, seconds)
        position += tokens
    assert too_long <= 1  # it learns by trying, but does not try again and again
    if fixed + LARGEST * (first + growth * 6000) < SECONDS / 2:
        assert budget.tokens == LARGEST


def test_budget_recovers_from_one_slow_step() -> None:
    budget = budget_of()
    budget.observe(64, 5.0)
    assert budget.tokens == BLOCK
    for _ in range(10):
        budget.observe(budget.tokens, budget.tokens * 0.0005)
    assert budget.tokens == LARGEST


def test_small_prompts_teach_nothing() -> None:
    budget = budget_of()
    before = budget.tokens
    budget.observe(3, 5.0)
    assert budget.tokens == before
