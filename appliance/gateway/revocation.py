"""Ends what a key has under way once it opens nothing any more: revoked or replaced, by a page or
by the command line, or expired; and what a browser has, once it was signed out.

An answer is interrupted where it waits, so that nothing is asked for each of its tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from appliance.errors import ApplianceError
from appliance.gateway.identity import ended
from appliance.ledger.credential import Credential, Ending

logger = logging.getLogger(__name__)
# Two looks and some slowness fit into the second in which revoking takes hold.
LOOK_EVERY_SECONDS = 0.4


class Keys(Protocol):
    """What this asks of the store of keys."""

    async def ended_among(self, shown: Collection[Credential]) -> Mapping[Credential, Ending]: ...


class Interrupt:
    """Raises an error inside a generator from outside of it, and in no task but the one that runs
    it at that moment. Between `enter` and `leave` the generator waits for its source."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._error: ApplianceError | None = None

    def enter(self) -> None:
        """Raises the error when it came while the generator's consumer was busy."""
        if self._error is not None:
            raise self._error
        self._task = asyncio.current_task()

    def leave(self) -> None:
        self._task = None

    def end(self, error: ApplianceError) -> None:
        """Raise `error` in the generator now, or when it is next asked for something."""
        if self._error is not None:
            return
        self._error = error
        if self._task is not None:
            self._task.cancel()

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Inside, the error is raised in place of the CancelledError that stands for it."""
        try:
            yield
        except asyncio.CancelledError:
            if error := self._caught():
                raise error from None
            raise

    def _caught(self) -> ApplianceError | None:
        """The error that a CancelledError stands for; None when somebody else cancelled."""
        task, self._task = self._task, None
        if self._error is None or task is None:
            return None
        # Somebody else may have cancelled in the same moment, and theirs must not be lost.
        return self._error if task.uncancel() == 0 else None


class Revocations:
    """Knows what was shown for what is under way. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[Credential, set[Interrupt]] = {}
        self._somebody = asyncio.Event()

    @contextlib.contextmanager
    def watched(self, shown: Credential | None) -> Iterator[Interrupt]:
        """Inside, the end of what was shown ends what `Interrupt` is entered by."""
        interrupt = Interrupt()
        if shown is None:
            yield interrupt
            return
        self._under_way.setdefault(shown, set()).add(interrupt)
        self._somebody.set()
        try:
            yield interrupt
        finally:
            self._under_way[shown].discard(interrupt)
            if not self._under_way[shown]:
                del self._under_way[shown]

    async def watch(self, keys: Keys, every: float = LOOK_EVERY_SECONDS) -> None:
        """Look again and again, while there is anything to look for, until cancelled."""
        while True:
            await self._somebody.wait()
            try:
                await self._look(keys)
            except Exception:
                logger.exception("Ended keys could not be looked for")
            if not self._under_way:
                self._somebody.clear()
            await asyncio.sleep(every)

    async def _look(self, keys: Keys) -> None:
        found = await keys.ended_among(list(self._under_way))
        for shown, why in found.items():
            for interrupt in tuple(self._under_way.get(shown, ())):
                interrupt.end(ended(why))
