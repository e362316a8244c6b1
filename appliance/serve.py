"""Runs the appliance: the folder, the plan, the socket, and uvicorn until Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from appliance import VERSION, console
from appliance.engine.status import Engine
from appliance.engines import make_engine
from appliance.entrance import Tls, surroundings, tls_for
from appliance.fit.catalogue import load_catalogue
from appliance.fit.hub_files import HubFiles
from appliance.fit.plan import Plan, Wish, plan
from appliance.fit.probe import probe
from appliance.folder import DataFolder
from appliance.lan.network import Network
from appliance.listening import bind
from appliance.observability.logs import set_up_logging
from appliance.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from appliance.fronts.first import Several


@dataclass(frozen=True, slots=True)
class Start:
    """What is settled before the web framework is imported."""

    settings: Settings
    folder: DataFolder
    decision: Plan
    network: Network
    tls: Tls | None
    listener: socket.socket
    plain: socket.socket | None


@dataclass(frozen=True, slots=True)
class Servers:
    """The appliance's, and blocks in which those serve that have a listener of their own."""

    main: uvicorn.Server
    beside: list[AbstractAsyncContextManager[None]]


def serve(settings: Settings) -> None:
    """Until it is stopped. Raises SetupError when it cannot start."""
    set_up_logging(settings.log_format, front=1 if settings.workers > 1 else None)
    listener = bind(settings.bind_host, settings.port)
    redirect = settings.redirect_port
    plain = None if redirect is None else bind(settings.bind_host, redirect, "--redirect-port")
    scheme = "https" if settings.has_tls else "http"
    network = Network(settings.bind_host, settings.port, scheme)
    folder = DataFolder(settings.data_dir)
    folder.open(network.local_url, next(iter(network.urls()), None))
    # uvicorn ends in order and then raises the signal again, which would skip what we close.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        decision = plan(
            probe(settings.data_dir),
            wish_of(settings),
            load_catalogue(),
            find_config=HubFiles(settings.hub_endpoint),
        )
        tls = tls_for(settings, folder, network)
        start = Start(settings, folder, decision, network, tls, listener, plain)
        _announce(start)
        with contextlib.suppress(KeyboardInterrupt):
            run = partial(_run, start)
            anyio.run(run, backend_options={"use_uvloop": sys.platform != "win32"})
        console.say("Stopped.")
    finally:
        folder.close()
        listener.close()


async def _run(start: Start) -> None:
    """The engine first: it loads while the web framework is imported."""
    settings, network = start.settings, start.network
    engine = make_engine(settings, start.folder, start.decision)
    await engine.start()
    try:
        async with AsyncExitStack() as around:
            servers = await anyio.to_thread.run_sync(_servers, start, engine, around)
            await around.enter_async_context(surroundings(settings, network, start.tls))
            for beside in servers.beside:
                await around.enter_async_context(beside)
            if not settings.no_browser:
                console.open_browser(network.local_url)
            await servers.main.serve(sockets=[start.listener])
    finally:
        with anyio.CancelScope(shield=True):
            await engine.stop()


def _servers(start: Start, engine: Engine, around: AsyncExitStack) -> Servers:
    """`around` closes what they need, after them."""
    # Looking for garbage among what is being imported costs a tenth of the start and finds none.
    gc.disable()
    import uvicorn

    from appliance.app import create_app
    from appliance.server import alongside, collect_rarely, config_for, plain_server

    if start.network.is_open:
        from appliance.opening import open_up

        open_up(start.settings, start.network)
    several = _several(start, around)
    watchers = [console.follow_engine]
    fronts = {} if several is None else {"beside": several.fronts.beside}
    app = create_app(
        start.settings, start.folder, start.decision, engine, watchers, start.network, **fronts
    )
    collect_rarely()
    config = config_for(app, start.settings, None if start.tls is None else start.tls.context)
    plain = alongside(plain_server(app, start.settings), start.plain)
    if several is None:
        return Servers(uvicorn.Server(config), [plain])
    relayed = alongside(several.relay_server(app), several.channel.listener)
    return Servers(several.main_server(config), [plain, relayed])


def _several(start: Start, around: AsyncExitStack) -> Several | None:
    """What more than one front needs; None for one."""
    if start.settings.workers == 1:
        return None
    from appliance.fronts.first import several

    files = None if start.tls is None else (start.tls.source.certificate, start.tls.source.key)
    places = start.decision.max_concurrency
    return around.enter_context(several(start.settings, start.listener, places, files))


def wish_of(settings: Settings) -> Wish:
    return Wish(
        model=settings.model,
        precision=settings.precision,
        engine=settings.engine,
        context_length=settings.context_length,
        max_concurrency=settings.max_concurrency,
    )


def _announce(start: Start) -> None:
    decision = start.decision
    console.say(f"Appliance {VERSION} at {start.network.local_url}   (Ctrl-C stops it)")
    model = next((r.phrase for r in decision.reasons if r.subject == "model"), None)
    console.say(f"Model: {decision.model}" + (f" – {model}" if model else ""))
    authority = start.folder.authority()
    if authority is not None and start.settings.vouches_for_itself:
        from appliance.lan.authority import fingerprint

        url = next(iter(start.network.urls()), start.network.local_url)
        console.say(f"Devices must trust its authority once: {url}/trust")
        console.say(f"  SHA-256 {fingerprint(authority)}")
