"""One engine process after the other: falls back, starts again with back-off, gives up.

A load that fails goes on to the next order, when there is one, and says so in the status; a
process that dies or hangs is started again, more slowly each time, and given up after
`MAX_DEATHS` in a row.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from appliance.domain import Phrase
from appliance.engine.deaths import End
from appliance.engine.life import Life
from appliance.engine.occupancy import Occupancy
from appliance.engine.orders import Order, Orders
from appliance.engine.status import Incident, StatusBoard

log = logging.getLogger(__name__)

MAX_DEATHS = 5
# An operating system that was short of memory twice in a row will be so again.
MAX_DEATHS_FOR_MEMORY = 2
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# An engine that served this long before it died is not in a crash loop.
STEADY_SECONDS = 120.0
INCIDENTS_KEPT = 5


class Lives:
    """The policy. `life` is the present one; cancelling `run` ends its process in order."""

    def __init__(
        self, orders: Orders, board: StatusBoard, occupancy: Occupancy, log_path: Path
    ) -> None:
        self._orders = orders
        self._board = board
        self._occupancy = occupancy
        self._log_path = log_path
        self.life: Life | None = None

    async def run(self) -> None:
        """Until the engine is given up, or ends while it is being unloaded."""
        try:
            await self._run()
        except Exception as error:
            # A mistake of ours must show as a failed engine, not as one that loads for ever.
            log.exception("the engine's supervisor failed")
            reason = Phrase("The engine could not be started: %(error)s", {"error": repr(error)})
            self._board.publish(phase="failed", reason=reason, facts=None)

    async def _run(self) -> None:
        order, deaths = self._orders.first(), 0
        while True:
            end = await self._one_life(order)
            log.warning("engine ended: %s", end.reason)
            if self._board.status.phase == "unloading":
                return
            if end.code is None:
                steady = (end.served_seconds or 0.0) > STEADY_SECONDS
                deaths = 1 if steady else deaths + 1
                self._note(end)
            fallback = self._fallback(end, deaths)
            if fallback is not None:
                self._announce(fallback, instead_of=order, reason=end.reason)
                order, deaths = fallback, 0
            elif end.code is not None or deaths == MAX_DEATHS:
                break
            else:
                pause = FIRST_PAUSE_SECONDS * 2 ** (deaths - 1)
                await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, pause))
        self._board.publish(phase="failed", reason=end.reason, facts=None)

    async def _one_life(self, order: Order) -> End:
        self.life = Life(order, self._board, self._occupancy, self._log_path)
        try:
            return await self.life.run()
        finally:
            self.life = None

    def _fallback(self, end: End, deaths: int) -> Order | None:
        """What to load instead of trying the same again."""
        if end.code is not None:
            return self._orders.after_failure(end.code)
        if end.memory_ran_out and deaths >= MAX_DEATHS_FOR_MEMORY:
            return self._orders.after_failure("out_of_memory")
        if end.served_seconds is None and deaths >= MAX_DEATHS:
            return self._orders.after_failure("load_failed")
        return None

    def _announce(self, fallback: Order, *, instead_of: Order, reason: Phrase) -> None:
        """Every page says why it is not the wanted model that answers."""
        values = {"wanted": instead_of.model, "reason": reason}
        notice = Phrase(
            "%(wanted)s could not be loaded, so a smaller model answers: %(reason)s", values
        )
        if fallback.model == instead_of.model:
            notice = Phrase(
                "%(wanted)s could not be loaded as planned and runs in another way: %(reason)s",
                values,
            )
        self._board.publish(phase="starting", notice=notice)

    def _note(self, end: End) -> None:
        """Count an end that nobody asked for."""
        status = self._board.status
        incident = Incident(datetime.now(UTC), end.cause, end.reason)
        self._board.publish(
            phase="restarting",
            reason=end.reason,
            facts=status.facts if status.on_demand else None,
            restarts=status.restarts + 1,
            incidents=(*status.incidents, incident)[-INCIDENTS_KEPT:],
        )
