"""The app behind uvicorn: trusted proxies, TLS, and plain HTTP that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.datastructures import URL
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.connections import BoundedConnection
from appliance.settings import Settings

# What a browser needs to read how to trust us, before it can speak HTTPS with us.
BANNER = "/engine/banner/stream"
ALSO_PLAIN = ("/trust", "/static/", "/language", "/theme")
# Objects between two looks for garbage, of which requests leave next to none; Python's 700 takes
# a twentieth of a request's processor time (bench/records/2026-11-26-front.md).
LOOK_FOR_GARBAGE_AFTER = 20_000


def config_for(
    app: ASGIApp, settings: Settings, context: ssl.SSLContext | None = None
) -> uvicorn.Config:
    """How the app is served. Forwarding headers count from trusted proxies alone."""
    proxies = [part.strip() for part in settings.trusted_proxies.split(",") if part.strip()]
    return uvicorn.Config(
        app,
        http=BoundedConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=settings.drain_seconds,
        ssl_context_factory=None if context is None else lambda *_: context,
        ws="none",
    )


def collect_rarely() -> None:
    """What there is now stays for good, and garbage is looked for less often from here on."""
    gc.freeze()
    gc.set_threshold(LOOK_FOR_GARBAGE_AFTER, 20, 20)
    gc.enable()


def plain_server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """Leads to HTTPS; for a block of `alongside`."""
    config = uvicorn.Config(
        ToHttps(app, settings.port),
        http=BoundedConnection,
        lifespan="off",  # the app's life is the other server's
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
    )
    return Beside(config)


@contextlib.asynccontextmanager
async def alongside(server: uvicorn.Server, listener: socket.socket | None) -> AsyncIterator[None]:
    """The server serves on the listener, if there is one, for as long as the block runs."""
    if listener is None:
        yield
        return
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class ToHttps:
    """Sends plain HTTP on to HTTPS, but for the page that explains how to trust it."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == BANNER:  # 204 tells a page not to ask again
            await Response(status_code=204)(scope, receive, send)
            return
        if scope["path"].startswith(ALSO_PLAIN):
            await self._app(scope, receive, send)
            return
        there = URL(scope=scope).replace(scheme="https", port=self._port)
        # 307: what is permanent today is in the way when HTTPS is switched off tomorrow.
        await RedirectResponse(there, status_code=307)(scope, receive, send)


class Beside(uvicorn.Server):
    """A second server in one process: Ctrl-C is the first one's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
