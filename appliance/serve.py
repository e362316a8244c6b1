"""Runs the appliance: the folder, the plan, the socket, and uvicorn until Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from appliance import VERSION, console
from appliance.engine.status import Engine
from appliance.engines import make_engine
from appliance.entrance import Tls, surroundings, tls_for
from appliance.errors import SetupError
from appliance.fit.catalogue import load_catalogue
from appliance.fit.hub_files import HubFiles
from appliance.fit.plan import Plan, Wish, plan
from appliance.fit.probe import probe
from appliance.folder import DataFolder
from appliance.lan.network import Network
from appliance.observability.logs import set_up_logging
from appliance.settings import Settings

if TYPE_CHECKING:
    import uvicorn


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


def serve(settings: Settings) -> None:
    """Until it is stopped. Raises SetupError when it cannot start."""
    set_up_logging(settings.log_format)
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
        server, plain = await anyio.to_thread.run_sync(_servers, start, engine)
        from appliance.server import alongside

        async with surroundings(settings, network, start.tls), alongside(plain, start.plain):
            if not settings.no_browser:
                console.open_browser(network.local_url)
            await server.serve(sockets=[start.listener])
    finally:
        with anyio.CancelScope(shield=True):
            await engine.stop()


def _servers(start: Start, engine: Engine) -> tuple[uvicorn.Server, uvicorn.Server]:
    """The appliance's, and the one that leads to it over plain HTTP."""
    # Looking for garbage among what is being imported costs a tenth of the start and finds none.
    gc.disable()
    import uvicorn

    from appliance.app import create_app
    from appliance.server import config_for, plain_server

    if start.network.is_open:
        from appliance.opening import open_up

        open_up(start.settings, start.network)
    watchers = [console.follow_engine]
    app = create_app(start.settings, start.folder, start.decision, engine, watchers, start.network)
    gc.freeze()
    gc.enable()
    context = None if start.tls is None else start.tls.context
    server = uvicorn.Server(config_for(app, start.settings, context))
    return server, plain_server(app, start.settings)


def wish_of(settings: Settings) -> Wish:
    return Wish(
        model=settings.model,
        precision=settings.precision,
        engine=settings.engine,
        context_length=settings.context_length,
        max_concurrency=settings.max_concurrency,
    )


def bind(host: str, port: int, flag: str = "--port") -> socket.socket:
    """A listening socket. Raises SetupError with what to do when the port is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if socket.has_dualstack_ipv6() and family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        _reuse(listener)
        listener.bind((host, port))
        # Listening from now on lets a browser that opens early wait instead of failing.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SetupError(
            "Port %(port)s on %(host)s cannot be used: %(error)s. Choose another with %(flag)s, "
            "for example %(flag)s %(other)s.",
            flag=flag,
            port=port,
            host=host,
            error=error.strerror or error,
            other=port + 1 if port < 65535 else 8001,
        ) from None
    return listener


def _reuse(listener: socket.socket) -> None:
    """POSIX: a restart need not wait for old connections. Windows: nobody may share our port."""
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


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
