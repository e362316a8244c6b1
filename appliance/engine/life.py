"""One life of an engine process, from its start to its end, told to the status board."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from appliance.domain import Phrase
from appliance.engine import watchdog
from appliance.engine.config import Endpoint, EngineFacts
from appliance.engine.deaths import End, collapse, death, failure, hang
from appliance.engine.occupancy import Occupancy
from appliance.engine.orders import Order
from appliance.engine.process import EngineProcess
from appliance.engine.status import StatusBoard


class Life:
    """Lived once, by `run`; cancelling that ends the process in order."""

    def __init__(
        self, order: Order, board: StatusBoard, occupancy: Occupancy, log_path: Path
    ) -> None:
        self._order = order
        self._board = board
        self._occupancy = occupancy
        self._log_path = log_path
        self._process: EngineProcess | None = None
        self._port: int | None = None
        self._model: str | None = None
        self._ready_at: float | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def endpoint(self) -> Endpoint | None:
        """Where it answers; None while it does not."""
        if self._port is None or self._model is None:
            return None
        return Endpoint(f"http://127.0.0.1:{self._port}/v1", self._order.key, self._model)

    async def run(self) -> End:
        """Start the process, and say how it ended."""
        try:
            process = await EngineProcess.spawn(self._order, self._log_path)
        except OSError as error:
            return End(Phrase("The engine process cannot be started: %(e)s", {"e": error}))
        self._process = process
        listening = asyncio.create_task(self._listen(process))
        silent = asyncio.create_task(watchdog.until_silent(self._watched))
        try:
            await asyncio.wait({listening, silent}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                return listening.result()
            await process.kill()
            return hang(silent.result(), self._served_seconds())
        finally:
            silent.cancel()
            listening.cancel()
            self._process = None
            await process.end()

    def _watched(self) -> watchdog.Watched | None:
        """Nobody, while it has not said where it listens."""
        if self._port is None:
            return None
        return watchdog.Watched(self._port, ready=self._ready_at is not None)

    async def _listen(self, process: EngineProcess) -> End:
        async for event in process.events():
            if event["event"] == "failed":
                return failure(event)
            if event["event"] == "died":
                return collapse(event, self._served_seconds())
            self._take(event)
        return death(await process.ended(), process.last_words(), self._served_seconds())

    def _served_seconds(self) -> float | None:
        return None if self._ready_at is None else time.monotonic() - self._ready_at

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "listening":
                self._port = int(event["port"])
            case "progress":
                self._board.publish(
                    phase="loading",
                    stage=event.get("stage"),
                    done=event.get("done"),
                    total=event.get("total"),
                    speed=event.get("speed"),
                    seconds_left=event.get("seconds_left"),
                )
            case "ready":
                facts = _facts(event["facts"])
                self._model, self._ready_at = facts.model, time.monotonic()
                self._occupancy.touch()
                self._board.publish(phase="ready", facts=facts)
            case "hashed":
                self._board.note_hash(str(event["model_hash"]))


def _facts(values: dict[str, Any]) -> EngineFacts:
    lists = {name: tuple(values.get(name, ())) for name in ("capabilities", "adapters")}
    return EngineFacts(**values | lists)
