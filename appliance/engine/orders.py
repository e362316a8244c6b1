"""What the supervisor starts, and what it starts instead when loading fails."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.engine.config import EngineConfig

WORKER_COMMAND = (sys.executable, "-m", "appliance.engine.worker")


@dataclass(frozen=True, slots=True)
class Order:
    """One engine process that speaks the protocol of `engine.config` over its pipes.

    `first_line` is what it reads at its start; `environment` is added to ours; `model` is for
    messages, `key` for whoever talks to it.
    """

    command: tuple[str, ...]
    first_line: str
    model: str
    key: str
    environment: Mapping[str, str] = field(default_factory=dict)


def worker_order(config: EngineConfig, environment: Mapping[str, str]) -> Order:
    """An order for our own worker."""
    return Order(WORKER_COMMAND, config.to_json(), config.model, config.key, environment)


class Orders(Protocol):
    """Orders in falling preference. Remembers where it is; `first` starts over."""

    def first(self) -> Order: ...

    def after_failure(self, code: str) -> Order | None:
        """What to try when the last order failed to load with `code`; None: nothing is left."""
        ...
