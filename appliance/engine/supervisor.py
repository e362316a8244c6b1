"""Keeps our engine process alive: start, watch, fall back, restart with back-off, stop.

A load that fails goes on to the next order, when there is one, and says so in the status; a
process that dies is started again, more slowly each time, and given up after `MAX_DEATHS` in a
row.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.domain import Phrase
from appliance.engine.config import Endpoint, EngineFacts
from appliance.engine.orders import Order, Orders
from appliance.engine.process import WORKER_COMMAND, EngineProcess
from appliance.engine.status import EngineStatus, StatusBoard, unavailable

log = logging.getLogger(__name__)

MAX_DEATHS = 5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# An engine that served this long before it died is not in a crash loop.
STEADY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _End:
    """How one life ended. `code` is set when the worker itself said why it cannot load."""

    reason: Phrase
    code: str | None = None
    served_seconds: float = 0.0


class Supervisor:
    """An `Engine` made of our own worker process. Belongs to one event loop."""

    def __init__(
        self,
        orders: Orders,
        *,
        log_path: Path,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        self._orders = orders
        self._log_path = log_path
        self._command = command
        self._board = StatusBoard()
        self._process: EngineProcess | None = None
        self._port: int | None = None
        self._life: asyncio.Task[None] | None = None
        self._order: Order | None = None

    @property
    def status(self) -> EngineStatus:
        return self._board.status

    def changes(self) -> AsyncIterator[EngineStatus]:
        return self._board.changes()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def endpoint(self) -> Endpoint:
        status = self._board.status
        if status.phase != "ready" or not (status.facts and self._port and self._order):
            raise unavailable(status)
        key = self._order.config.key
        return Endpoint(f"http://127.0.0.1:{self._port}/v1", key, status.facts.model)

    async def start(self) -> None:
        if self._life is None or self._life.done():
            self._board.publish(phase="starting", notice=None)
            self._life = asyncio.create_task(self._live_safely(), name="engine supervisor")

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
            self._life = None
        self._board.publish(phase="stopped", facts=None)

    async def _live_safely(self) -> None:
        """A mistake of ours must show as a failed engine, not as one that loads for ever."""
        try:
            await self._live()
        except Exception as error:
            log.exception("the engine's supervisor failed")
            reason = Phrase("The engine could not be started: %(error)s", {"error": repr(error)})
            self._board.publish(phase="failed", reason=reason, facts=None)

    async def _live(self) -> None:
        order, deaths = self._orders.first(), 0
        while True:
            end = await self._one_life(order)
            log.warning("engine ended: %s", end.reason)
            if end.code is not None:
                fallback = self._orders.after_failure(end.code)
                if fallback is None:
                    break
                self._announce_fallback(order, end.reason)
                order = fallback
                continue
            deaths = 1 if end.served_seconds > STEADY_SECONDS else deaths + 1
            restarts = self.status.restarts + 1
            self._board.publish(
                phase="restarting", reason=end.reason, facts=None, restarts=restarts
            )
            if deaths == MAX_DEATHS:
                break
            pause = FIRST_PAUSE_SECONDS * 2 ** (deaths - 1)
            await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, pause))
        self._board.publish(phase="failed", reason=end.reason, facts=None)

    def _announce_fallback(self, wanted: Order, reason: Phrase) -> None:
        """Every page says why it is not the wanted model that answers."""
        notice = Phrase(
            "%(wanted)s could not be loaded, so a smaller model answers: %(reason)s",
            {"wanted": wanted.config.model, "reason": reason},
        )
        self._board.publish(phase="starting", notice=notice)

    async def _one_life(self, order: Order) -> _End:
        """From spawn to death. Cancelling it ends the process in order."""
        self._order, self._port = order, None
        try:
            process = await EngineProcess.spawn(order, self._log_path, self._command)
        except OSError as error:
            return _End(Phrase("The engine process cannot be started: %(e)s", {"e": error}))
        self._process = process
        try:
            return await self._listen(process)
        finally:
            self._process = None
            await process.end()

    async def _listen(self, process: EngineProcess) -> _End:
        ready_at: float | None = None
        async for event in process.events():
            if event["event"] == "failed":
                return _End(_failure(event), code=str(event.get("code", "load_failed")))
            if event["event"] == "ready":
                ready_at = time.monotonic()
            self._tell(event)
        served = time.monotonic() - ready_at if ready_at else 0.0
        return _End(_death(await process.ended(), process.last_words()), served_seconds=served)

    def _tell(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "listening":
                self._port = int(event["port"])
            case "progress":
                self._board.publish(
                    phase="loading",
                    stage=event.get("stage"),
                    done=event.get("done"),
                    total=event.get("total"),
                )
            case "ready":
                facts = dict(event["facts"])
                facts["capabilities"] = tuple(facts.get("capabilities", ()))
                self._board.publish(phase="ready", facts=EngineFacts(**facts))


def _failure(event: dict[str, Any]) -> Phrase:
    reasons = {
        "hub_unreachable": "The model hub cannot be reached.",
        "model_missing": "The model was not found: %(message)s",
        "model_corrupt": "The model file is damaged: %(message)s",
        "out_of_memory": "The memory does not suffice: %(message)s",
        "missing_package": "A package is missing: %(message)s",
    }
    template = reasons.get(str(event.get("code")), "The model could not be loaded: %(message)s")
    return Phrase(template, {"message": event.get("message", "")})


def _death(status: int, last_words: str) -> Phrase:
    if status == -getattr(signal, "SIGKILL", 9):
        return Phrase("The engine was killed, most likely because the memory ran out.")
    return Phrase(
        "The engine ended with status %(status)s: %(words)s",
        {"status": status, "words": last_words or "–"},
    )
