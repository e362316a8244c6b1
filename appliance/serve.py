"""Runs the appliance: the folder, the plan, the socket, and uvicorn until Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from appliance import VERSION, console
from appliance.engine.status import Engine
from appliance.engines import make_engine
from appliance.errors import SetupError
from appliance.fit.catalogue import load_catalogue
from appliance.fit.hub_files import HubFiles
from appliance.fit.plan import Plan, Wish, plan
from appliance.fit.probe import probe
from appliance.folder import DataFolder
from appliance.settings import Settings

if TYPE_CHECKING:
    import uvicorn

# Ctrl-C during an answer: long enough to send the last words, short enough not to annoy.
DRAIN_SECONDS = 3


def serve(settings: Settings) -> None:
    """Until it is stopped. Raises SetupError when it cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    listener = bind(settings.bind_host, settings.port)
    url = local_url(settings)
    folder = DataFolder(settings.data_dir)
    folder.open(url)
    # uvicorn ends in order and then raises the signal again, which would skip what we close.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        decision = plan(
            probe(settings.data_dir),
            wish_of(settings),
            load_catalogue(),
            find_config=HubFiles(settings.hub_endpoint),
        )
        _announce(settings, decision, url)
        with contextlib.suppress(KeyboardInterrupt):
            run = partial(_run, settings, folder, decision, listener)
            anyio.run(run, backend_options={"use_uvloop": sys.platform != "win32"})
        console.say("Stopped.")
    finally:
        folder.close()
        listener.close()


async def _run(
    settings: Settings, folder: DataFolder, decision: Plan, listener: socket.socket
) -> None:
    """The engine first: it loads while the web framework is imported."""
    engine = make_engine(settings, folder, decision)
    await engine.start()
    try:
        server = await anyio.to_thread.run_sync(_server, settings, folder, decision, engine)
        if not settings.no_browser:
            console.open_browser(local_url(settings))
        await server.serve(sockets=[listener])
    finally:
        with anyio.CancelScope(shield=True):
            await engine.stop()


def _server(
    settings: Settings, folder: DataFolder, decision: Plan, engine: Engine
) -> uvicorn.Server:
    # Looking for garbage among what is being imported costs a tenth of the start and finds none.
    gc.disable()
    import uvicorn

    from appliance.app import create_app

    app = create_app(settings, folder, decision, engine, [console.follow_engine])
    gc.freeze()
    gc.enable()
    proxies = [part.strip() for part in settings.trusted_proxies.split(",") if part.strip()]
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ws="none",
    )
    return uvicorn.Server(config)


def wish_of(settings: Settings) -> Wish:
    return Wish(
        model=settings.model,
        precision=settings.precision,
        engine=settings.engine,
        context_length=settings.context_length,
        max_concurrency=settings.max_concurrency,
    )


def local_url(settings: Settings) -> str:
    host = settings.bind_host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{settings.port}"


def bind(host: str, port: int) -> socket.socket:
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
            "Port %(port)s on %(host)s cannot be used: %(error)s. Choose another with --port, "
            "for example --port %(other)s.",
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


def _announce(settings: Settings, decision: Plan, url: str) -> None:
    console.say(f"Appliance {VERSION} at {url}   (Ctrl-C stops it)")
    model = next((r.phrase for r in decision.reasons if r.subject == "model"), None)
    console.say(f"Model: {decision.model}" + (f" – {model}" if model else ""))
    if settings.lan:
        console.say(
            "Open to the local network; team-mates need a key: launcher.py keys create NAME"
        )
