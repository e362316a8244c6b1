"""The further fronts as the first one keeps them: started, started again, and drained with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from appliance.engine.lives import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STEADY_SECONDS
from appliance.fronts.desk import Desk
from appliance.fronts.lines import Order
from appliance.fronts.process import FrontProcess
from appliance.fronts.watchdog import end_if_it_hangs
from appliance.gateway.energy import EnergyMeter
from appliance.parts import Parts

logger = logging.getLogger(__name__)
# Beyond the time that its answers have, before a front that does not end is killed.
END_SECONDS = 5.0


class Fronts:
    """Numbers 2 to `count`, each by `order`. Belongs to one event loop.

    `start` and `stop` wait for nothing; leaving `beside` waits until all have ended, at most
    `drain_seconds` and a little more.
    """

    def __init__(self, count: int, order: Callable[[int], Order], *, drain_seconds: float) -> None:
        self._numbers = range(2, count + 1)
        self._order = order
        self._drain_seconds = drain_seconds
        self._parts: Parts | None = None
        self._energy = EnergyMeter()
        self._processes: set[FrontProcess] = set()
        self._keeping: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def beside(self, parts: Parts, energy: EnergyMeter) -> AsyncIterator[None]:
        """The parts that they need of the first front live at least as long as the block."""
        self._parts, self._energy = parts, energy
        try:
            yield
        finally:
            self.stop()
            await self._ended()

    def start(self) -> None:
        """Once the first front serves: it must not share its start with them."""
        self._keeping = {asyncio.create_task(self._keep(number)) for number in self._numbers}

    def stop(self) -> None:
        """From now on they take nobody new in."""
        self._stopping.set()
        for process in self._processes:
            process.hang_up()

    async def _ended(self) -> None:
        if not self._keeping:
            return
        _, late = await asyncio.wait(self._keeping, timeout=self._drain_seconds + END_SECONDS)
        for process in self._processes:
            process.kill()
        if late:
            await asyncio.wait(late)

    async def _keep(self, number: int) -> None:
        """Start it, and start it again, more slowly each time, until all are stopped."""
        loop, deaths = asyncio.get_running_loop(), 0
        while not self._stopping.is_set():
            began = loop.time()
            end = await self._live(number)
            if self._stopping.is_set():
                return
            deaths = 1 if loop.time() - began > STEADY_SECONDS else deaths + 1
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (deaths - 1))
            logger.warning("Front %s ended (%s); it is started again in %s s", number, end, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _live(self, number: int) -> str:
        """One life, and how it ended, in words."""
        try:
            process = await FrontProcess.spawn(self._order(number))
        except OSError as error:
            return str(error)
        self._processes.add(process)
        if self._stopping.is_set():
            process.hang_up()
        try:
            await self._serve(number, process)
            return f"exit status {await process.ended()}"
        except Exception as error:
            # A mistake of ours must not leave a front without anybody who listens to it.
            logger.exception("Front %s could not be listened to", number)
            process.kill()
            return repr(error)
        finally:
            self._processes.discard(process)

    async def _serve(self, number: int, process: FrontProcess) -> None:
        """Until it says nothing more, which is its end."""
        parts = self._parts
        assert parts is not None, "they are started inside of `beside`"  # noqa: S101
        desk = Desk(parts.engine, parts.monitor, self._energy, process.tell)
        beside = [
            asyncio.create_task(desk.tell_status()),
            asyncio.create_task(end_if_it_hangs(number, process, desk)),
        ]
        try:
            async for line in process.lines():
                desk.take(line)
        finally:
            for task in beside:
                task.cancel()
            await desk.close()
            parts.recorder.mark_cut_off(desk.may_be_open)
