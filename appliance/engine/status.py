"""How an engine is doing, in a form that pages, probes and logs can all show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from appliance.domain import Phrase
from appliance.engine.config import Endpoint, EngineFacts
from appliance.errors import EngineUnavailable

Phase = Literal[
    "starting",
    "loading",
    "ready",
    "restarting",
    "failed",
    "stopped",
    "unloading",
    "unloaded",
]
Cause = Literal["killed", "crashed", "hung", "memory"]

# How long a client should wait before it asks again an engine that somebody has unloaded.
UNLOADED_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Incident:
    """An engine process that ended without having been asked to."""

    at: datetime
    cause: Cause
    reason: Phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """One moment of an engine's life.

    `done` of `total` measures the current `stage` (bytes for verify and download, else parts);
    `speed` is bytes a second, and with `seconds_left` None while it is not known.
    `reason` says why it is not ready; `notice` stays while it is (a smaller model, for example).
    `on_demand` is True while it is away only because nobody asked it: a request waits for it.
    `incidents` are the newest of all that `restarts` counts, oldest first.
    """

    phase: Phase
    since: datetime
    stage: str | None = None
    done: int | None = None
    total: int | None = None
    speed: float | None = None
    seconds_left: int | None = None
    reason: Phrase | None = None
    notice: Phrase | None = None
    facts: EngineFacts | None = None
    on_demand: bool = False
    restarts: int = 0
    incidents: tuple[Incident, ...] = ()

    @property
    def percent(self) -> int | None:
        """Whole per cent of the current stage, or None when its size is not known."""
        if self.done is None or not self.total:
            return None
        return min(100, self.done * 100 // self.total)


_NO_PROGRESS = dict.fromkeys(("stage", "done", "total", "speed", "seconds_left"))


class StatusBoard:
    """Holds the newest status and wakes whoever watches. Belongs to one event loop."""

    def __init__(self) -> None:
        self.status = EngineStatus(phase="stopped", since=datetime.now(UTC))
        self._changed = asyncio.Event()

    def publish(self, **changes: Any) -> None:
        """Replace the given fields; a new phase starts a new `since` and forgets the progress."""
        phase = changes.get("phase", self.status.phase)
        if phase != self.status.phase:
            changes = {**_NO_PROGRESS, "since": datetime.now(UTC), "reason": None, **changes}
        if phase in ("ready", "failed", "stopped"):
            changes = {"on_demand": False, **changes}
        self.status = replace(self.status, **changes)
        self._changed.set()
        self._changed = asyncio.Event()

    def note_hash(self, model_hash: str) -> None:
        """The weights have been read through: nobody waits for it, so nobody is woken."""
        if self.status.facts is not None:
            facts = replace(self.status.facts, model_hash=model_hash)
            self.status = replace(self.status, facts=facts)

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
        """Where it answers now, for questions that keep it from nothing.

        Raises EngineUnavailable with the reason while there is none.
        """
        ...

    def lease(self) -> AbstractAsyncContextManager[Endpoint]:
        """Hold the engine for one answer: nothing unloads it without waiting for that.

        Has an engine that idleness unloaded load again, and waits for it. Raises
        EngineUnavailable with the reason in every other state but `ready`.
        """
        ...

    async def start(self) -> None: ...

    async def restart(self) -> None:
        """Begin anew, also out of `failed` and `unloaded`. Returns before it is done."""
        ...

    async def unload(self) -> None:
        """Let running answers end, then give back all memory. Returns before it is done.

        Raises InvalidRequest when the engine is not ours to unload.
        """
        ...

    async def load(self) -> None:
        """Take an unloaded or failed engine back into service. Returns before it is done."""
        ...

    async def stop(self) -> None:
        """End it and wait for its end. Safe to call twice."""
        ...


def check_available(status: EngineStatus) -> None:
    """Raises EngineUnavailable unless it answers, or will for a request that waits (`lease`)."""
    if status.phase != "ready" and not status.on_demand:
        raise unavailable(status)


def unavailable(status: EngineStatus) -> EngineUnavailable:
    """The refusal that fits a status which is not `ready`."""
    if status.phase == "failed":
        return EngineUnavailable.saying(status.reason or Phrase("The engine could not be started."))
    if status.phase in ("unloading", "unloaded"):
        return EngineUnavailable(
            "The model is unloaded, so that its memory is free for other programs. The owner loads "
            "it again on the status page, with `launcher.py engine load`, or with "
            "POST /admin/engine/load.",
            retry_after=UNLOADED_RETRY_SECONDS,
        )
    if status.percent is not None:
        return EngineUnavailable(
            "The model is being loaded: %(stage)s, %(percent)s %%. Please try again shortly.",
            retry_after=5,
            stage=status.stage,
            percent=status.percent,
        )
    if status.reason is not None:
        return EngineUnavailable.saying(status.reason, retry_after=5)
    return EngineUnavailable("The model is being loaded. Please try again shortly.", retry_after=5)
