"""The life of a further front: its order comes in on stdin, what it has to tell goes out on stdout.

Standard input stays open as a life line. When it closes, the first front has gone or wants this
one gone: it takes nobody new in, lets its answers end, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import uvicorn

from appliance.entrance import Tls
from appliance.fronts.app import create_front
from appliance.fronts.lent import LentEngine
from appliance.fronts.lent_meter import LentMeter
from appliance.fronts.lines import ORDER, Order, Tell, read, written
from appliance.lan.tls import GivenCertificate, context_for, keep_fresh
from appliance.observability.logs import set_up_logging
from appliance.server import collect_rarely, config_for

# Beyond the time that answers have to end: whatever a thread still does then is given up.
END_SECONDS = 4.0


def main() -> None:
    voice = _claim_stdout()
    order = ORDER.validate_json(sys.stdin.buffer.readline())
    set_up_logging(order.settings.log_format, front=order.number)
    # Should it be ended because it hangs, the log says where.
    faulthandler.enable()
    anyio.run(_serve, order, voice, backend_options={"use_uvloop": True})
    os._exit(0)  # the life line's thread waits in a read that nothing interrupts


async def _serve(order: Order, voice: BinaryIO) -> None:
    tell = await _teller(voice)
    engine, meter = LentEngine(tell), LentMeter()
    tls = _tls(order)
    app = create_front(order, engine, meter, tell)
    config = config_for(app, order.settings, None if tls is None else tls.context)
    server = FurtherFront(config, tell)
    loop = asyncio.get_running_loop()
    lifeline = Lifeline(
        lambda line: loop.call_soon_threadsafe(_hear, engine, meter, read(line)),
        server.leave,
        order.settings.drain_seconds + END_SECONDS,
    )
    lifeline.start()
    fresh = None if tls is None else asyncio.create_task(keep_fresh(tls.source, tls.context))
    collect_rarely()
    await server.serve(sockets=[socket.socket(fileno=order.listener)])
    if fresh is not None:
        fresh.cancel()


def _hear(engine: LentEngine, meter: LentMeter, words: dict[str, Any]) -> None:
    """A line of the first front's."""
    if "energy" in words:
        meter.hear(*words["energy"])
    else:
        engine.hear(words)


class FurtherFront(uvicorn.Server):
    """Tells when it serves, and no longer does."""

    def __init__(self, config: uvicorn.Config, tell: Tell) -> None:
        super().__init__(config)
        self._tell = tell

    def leave(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell(serving=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tell(serving=False)
        await super().shutdown(sockets)


class Lifeline(threading.Thread):
    """Reads standard input. A thread, so that even an event loop that hangs cannot outlive it."""

    def __init__(
        self, hear: Callable[[bytes], object], leave: Callable[[], None], seconds: float
    ) -> None:
        super().__init__(name="lifeline", daemon=True)
        self._hear = hear
        self._leave = leave
        self._seconds = seconds

    def run(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the loop may have closed before us
            for line in sys.stdin.buffer:
                self._hear(line)
        self._leave()
        threading.Event().wait(self._seconds)
        os._exit(1)


def _tls(order: Order) -> Tls | None:
    """The files that the first front shows and renews; loaded anew whenever they change."""
    if order.certificate is None or order.key is None:
        return None
    source = GivenCertificate(Path(order.certificate), Path(order.key))
    return Tls(source, context_for(source))


def _claim_stdout() -> BinaryIO:
    """The pipe to the first front, and whatever is printed from now on goes to the log instead."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


async def _teller(voice: BinaryIO) -> Tell:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, voice)

    def tell(**words: object) -> None:
        transport.write(written(**words))

    return tell


if __name__ == "__main__":
    main()
