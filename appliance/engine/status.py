"""How an engine is doing, in a form that pages, probes and logs can all show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from appliance.domain import Phrase
from appliance.engine.config import Endpoint, EngineFacts
from appliance.errors import EngineUnavailable

Phase = Literal["starting", "loading", "ready", "restarting", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """One moment of an engine's life.

    `done` of `total` measures the current `stage` (bytes for verify and download, else parts).
    `reason` says why it is not ready; `notice` stays while it is (a smaller model, for example).
    """

    phase: Phase
    since: datetime
    stage: str | None = None
    done: int | None = None
    total: int | None = None
    reason: Phrase | None = None
    notice: Phrase | None = None
    facts: EngineFacts | None = None
    restarts: int = 0

    @property
    def percent(self) -> int | None:
        """Whole per cent of the current stage, or None when its size is not known."""
        if self.done is None or not self.total:
            return None
        return min(100, self.done * 100 // self.total)


class StatusBoard:
    """Holds the newest status and wakes whoever watches. Belongs to one event loop."""

    def __init__(self) -> None:
        self.status = EngineStatus(phase="stopped", since=datetime.now(UTC))
        self._changed = asyncio.Event()

    def publish(self, **changes: Any) -> None:
        """Replace the given fields; a new phase starts a new `since` and forgets the progress."""
        if changes.get("phase", self.status.phase) != self.status.phase:
            fresh = {"since": datetime.now(UTC), "stage": None, "done": None, "total": None}
            changes = {**fresh, "reason": None, **changes}
        self.status = replace(self.status, **changes)
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self) -> AsyncIterator[EngineStatus]:
        """The status now and after every change; quick changes are seen as one."""
        while True:
            changed = self._changed
            yield self.status
            await changed.wait()


class Engine(Protocol):
    """What the gateway and the pages need of an engine, ours or somebody else's."""

    @property
    def status(self) -> EngineStatus: ...

    def changes(self) -> AsyncIterator[EngineStatus]: ...

    def endpoint(self) -> Endpoint:
        """Where to send work now. Raises EngineUnavailable with the reason while there is none."""
        ...

    async def start(self) -> None: ...

    async def restart(self) -> None:
        """Begin anew, also out of `failed`. Returns before it is done."""
        ...

    async def stop(self) -> None:
        """End it and wait for its end. Safe to call twice."""
        ...


def unavailable(status: EngineStatus) -> EngineUnavailable:
    """The refusal that fits a status which is not `ready`."""
    if status.phase == "failed":
        return EngineUnavailable.saying(status.reason or Phrase("The engine could not be started."))
    if status.percent is not None:
        return EngineUnavailable(
            "The model is being loaded: %(stage)s, %(percent)s %%. Please try again shortly.",
            retry_after=5,
            stage=status.stage,
            percent=status.percent,
        )
    return EngineUnavailable("The model is being loaded. Please try again shortly.", retry_after=5)
