"""The life of the engine process: its order comes in on stdin, its events go out on stdout.

Standard input stays open as a life line. When it closes, the parent has gone or wants us gone,
and the process ends whatever its threads are doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.engine.config import EngineConfig
from appliance.engine.worker.events import EventWriter, claim_stdout
from appliance.engine.worker.failure import LoadFailure, explain, in_short, is_out_of_memory
from appliance.engine.worker.fingerprint import model_hash

if TYPE_CHECKING:
    from appliance.engine.worker.engine import Engine
    from appliance.engine.worker.generation import Slot

log = logging.getLogger(__name__)

# How long running answers have to hear that the process ends.
DRAIN_SECONDS = 0.5


def main() -> None:
    """Never returns: libraries leave threads that are not daemons behind."""
    events = claim_stdout()
    # Looking for garbage among imports and weights finds none; `_open` begins to look.
    gc.disable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # Ctrl-C reaches the whole terminal; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = EngineConfig.from_json(sys.stdin.buffer.readline().decode())
    except (ValueError, TypeError, KeyError) as error:
        fail(events, LoadFailure("load_failed", f"The order to the engine is broken: {error}"))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    events.emit("listening", port=listener.getsockname()[1])
    lifeline = _Lifeline()
    lifeline.start()
    _serve(config, events, listener, lifeline)


def fail(events: EventWriter, failure: LoadFailure) -> None:
    events.emit("failed", code=failure.code, message=str(failure))
    os._exit(1)


class _Lifeline(threading.Thread):
    """Ends the process when standard input does, after asking the server to stop."""

    def __init__(self) -> None:
        super().__init__(name="lifeline", daemon=True)
        self.stop_serving: Callable[[], None] | None = None
        self.served = threading.Event()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 65536):
                pass
        if self.stop_serving is not None:
            self.stop_serving()
            self.served.wait(DRAIN_SECONDS)
        os._exit(0)


def _serve(
    config: EngineConfig, events: EventWriter, listener: socket.socket, lifeline: _Lifeline
) -> None:
    # First of all, because it takes longest.
    loading = _in_thread(lambda: _load(config, events))
    # Only now: the parent knows the port while these are being imported.
    import uvicorn

    from appliance.engine.worker.generation import Slot
    from appliance.engine.worker.server import create_app

    slot = Slot()
    settings = uvicorn.Config(
        create_app(slot, config.key), access_log=False, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(settings)
    lifeline.stop_serving = lambda: setattr(server, "should_exit", True)

    async def live() -> None:
        opening = asyncio.create_task(_open(slot, loading, events, config))
        # Not `run` or `serve`: they would take the signals that are left to the parent.
        await server._serve(sockets=[listener])
        opening.cancel()

    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(live())
        lifeline.served.set()
        os._exit(0)


def _in_thread(work: Callable[[], Engine]) -> Future[Engine]:
    """Not an executor: those wait for their threads at the end, and ours may load for minutes."""
    future: Future[Engine] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="loader", daemon=True).start()
    return future


def _load(config: EngineConfig, events: EventWriter) -> Engine:
    from appliance.engine.worker.loading import load_engine

    return load_engine(config, events.progress)


async def _open(
    slot: Slot, loading: Future[Engine], events: EventWriter, config: EngineConfig
) -> None:
    """Open for business once the model is loaded; end the process when it cannot be."""
    try:
        engine = await asyncio.wrap_future(loading)
    except Exception as error:
        failure = explain(error)
        log.error("cannot load: %s", failure, exc_info=error)
        fail(events, failure)
        return
    gc.freeze()
    gc.enable()
    loop = asyncio.get_running_loop()
    engine.start(loop, on_fatal=lambda error: _die(loop, events, error))
    slot.engine = engine
    events.emit("ready", facts=asdict(engine.facts))
    if engine.facts.model_hash is None and engine.weights is not None:
        cache_dir = Path(config.cache_dir)
        threading.Thread(
            target=_tell_hash, args=(engine.weights, cache_dir, events), daemon=True
        ).start()


def _tell_hash(weights: Path, cache_dir: Path, events: EventWriter) -> None:
    """Beside the first requests: a large model that nobody has read through yet takes minutes."""
    try:
        digest = model_hash(weights, cache_dir)
    except OSError as error:
        log.warning("the model's files cannot be read through: %s", error)
        return
    if digest is not None:
        events.emit("hashed", model_hash=digest)


def _die(loop: asyncio.AbstractEventLoop, events: EventWriter, error: BaseException) -> None:
    """Nothing can be generated any more: let whoever waits hear it, and the parent restart us.

    Whatever the library died of: after an error on a card no later call can be trusted.
    """
    log.critical("the engine died: %s", error, exc_info=error)

    def end() -> None:
        events.emit("died", out_of_memory=is_out_of_memory(error), message=in_short(error))
        os._exit(1)

    loop.call_later(DRAIN_SECONDS, end)
