"""What the supervisor starts, and what it starts instead when loading fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.engine.config import EngineConfig


@dataclass(frozen=True, slots=True)
class Order:
    """One engine process: its configuration, and variables to add to its environment."""

    config: EngineConfig
    environment: Mapping[str, str] = field(default_factory=dict)


class Orders(Protocol):
    """Orders in falling preference. Remembers where it is; `first` starts over."""

    def first(self) -> Order: ...

    def after_failure(self, code: str) -> Order | None:
        """What to try when the last order failed to load with `code`; None: nothing is left."""
        ...
