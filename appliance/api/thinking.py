"""How long a model may think, in the three ways in which clients say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
# Tokens of thinking; no limit where nothing is named.
BUDGETS: Mapping[str, int] = {"minimal": 512, "low": 1024, "medium": 4096}


class TemplateSwitches(BaseModel):
    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None


class ThinkingFields(BaseModel):
    """The budget wins over the effort, and a switch for the template over an effort of none."""

    reasoning_effort: Effort | None = Field(
        None, description="none: no thinking. minimal, low, medium: 512, 1024, 4096 tokens of it."
    )
    thinking_budget: int | None = Field(
        None,
        ge=0,
        validation_alias=AliasChoices("thinking_budget", "thinking_token_budget"),
        description="Most tokens of thinking; then the model answers.",
    )

    @property
    def budget(self) -> int | None:
        if self.thinking_budget is not None:
            return self.thinking_budget
        return BUDGETS.get(self.reasoning_effort or "")

    def thinks(self, switch: bool | None) -> bool | None:
        """Whether the model is to think; None: as it is used to."""
        if switch is not None:
            return switch
        return False if self.reasoning_effort == "none" else None
