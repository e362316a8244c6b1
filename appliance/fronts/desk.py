"""What the first front does for one further front: lends it the engine, and counts its work."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import asdict

from appliance.engine.status import Engine, EngineStatus
from appliance.errors import ApplianceError
from appliance.fronts.lines import GENERATION, LEDGER, REQUEST, Tell, read, shown
from appliance.gateway.energy import EnergyMeter
from appliance.monitor import Monitor

logger = logging.getLogger(__name__)
# A row that was told to be closed may still wait to be written.
REMEMBERED = 500


class Desk:
    """For one life of the other process."""

    def __init__(self, engine: Engine, monitor: Monitor, energy: EnergyMeter, tell: Tell) -> None:
        self.heard = 0
        self._opened: set[str] = set()
        self._closed = deque[str](maxlen=REMEMBERED)
        self._engine = engine
        self._monitor = monitor
        self._energy = energy
        self._tell = tell
        energy.listeners.add(self._tell_energy)
        self._told: EngineStatus | None = None
        self._leases: dict[int, asyncio.Task[None]] = {}
        self._seen = monitor.another_front()

    @property
    def may_be_open(self) -> list[str]:
        """The requests whose rows the other may not have closed, should it be gone now."""
        return [*self._opened, *self._closed]

    @property
    def serves(self) -> bool:
        return self._seen.serves

    async def tell_status(self) -> None:
        """Now, and after every change, until cancelled."""
        async for _ in self._engine.changes():
            self._tell_status()

    def take(self, line: bytes) -> None:
        """A line of the other's."""
        self.heard += 1
        match read(line):
            case {"lease": int(number)}:
                self._leases[number] = asyncio.create_task(self._lend(number))
            case {"release": int(number)}:
                if lease := self._leases.pop(number, None):
                    lease.cancel()
            case {"opened": str(request_id)}:
                self._opened.add(request_id)
            case {"closed": str(request_id)}:
                self._opened.discard(request_id)
                self._closed.append(request_id)
            case {"request": seen}:
                self._monitor.metrics.request(REQUEST.validate_python(seen))
            case {"generation": seen}:
                self._monitor.metrics.generation(GENERATION.validate_python(seen))
            case {"ledger": reading}:
                self._seen.ledger = LEDGER.validate_python(reading)
            case {"serving": bool(serves)}:
                self._seen.serves = serves

    async def close(self) -> None:
        """The other process is gone, and with it whatever it had under way."""
        self._energy.listeners.discard(self._tell_energy)
        leases = list(self._leases.values())
        for lease in leases:
            lease.cancel()
        await asyncio.gather(*leases, return_exceptions=True)
        self._monitor.without(self._seen)

    async def _lend(self, number: int) -> None:
        """Until it is released, which cancels this."""
        try:
            async with self._engine.lease() as endpoint:
                self._answer(number, asdict(endpoint))
                mark = self._energy.begin()
                try:
                    await asyncio.Event().wait()
                finally:
                    self._energy.end(mark)
        except Exception as error:
            if not isinstance(error, ApplianceError):
                logger.exception("The engine could not be lent")
            self._answer(number, None)

    def _answer(self, number: int, endpoint: dict[str, object] | None) -> None:
        self._tell_status()
        self._tell(lease=number, endpoint=endpoint)

    def _tell_energy(self, joules: float, watts: float) -> None:
        self._tell(energy=(joules, watts))

    def _tell_status(self) -> None:
        """What is noted without waking anybody comes along with the next answer."""
        if self._told is not self._engine.status:
            self._told = self._engine.status
            self._tell(engine=shown(self._told))
