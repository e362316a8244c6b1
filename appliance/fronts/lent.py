"""The first front's engine as a further front has it: told how it is, lent for each answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

from appliance.engine.config import Endpoint
from appliance.engine.status import EngineStatus, StatusBoard, unavailable
from appliance.errors import InvalidRequest
from appliance.fronts.lines import STATUS, Tell, endpoint_of


class LentEngine:
    """An `Engine` whose life is the first front's. Every answer is asked for there, so that idle
    unloading, draining and waking see the answers of all fronts. Belongs to one event loop.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._board = StatusBoard()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Endpoint | None]] = {}

    @property
    def status(self) -> EngineStatus:
        return self._board.status

    def changes(self) -> AsyncIterator[EngineStatus]:
        return self._board.changes()

    def hear(self, words: dict[str, Any]) -> None:
        """A line of the first front's."""
        if "engine" in words:
            status = STATUS.validate_python(words["engine"])
            self._board.publish(**{one.name: getattr(status, one.name) for one in fields(status)})
        elif (answer := self._asked.get(words["lease"])) and not answer.done():
            answer.set_result(endpoint_of(words["endpoint"]))

    def endpoint(self) -> Endpoint:
        """It is only lent: who measures it is in the first front."""
        raise unavailable(self.status)

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Endpoint]:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._tell(lease=number)
        try:
            endpoint = await answer
            if endpoint is None:
                raise unavailable(self.status)
            yield endpoint
        finally:
            del self._asked[number]
            self._tell(release=number)

    async def start(self) -> None:
        """It is started where it lives."""

    async def stop(self) -> None:
        """It is stopped where it lives."""

    async def restart(self) -> None:
        raise _not_here()

    async def unload(self) -> None:
        raise _not_here()

    async def load(self) -> None:
        raise _not_here()


def _not_here() -> InvalidRequest:
    return InvalidRequest("The engine takes its orders from the first front alone.")
