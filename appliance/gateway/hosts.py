"""Which host a request is for: one, or it is refused (RFC 9112, 3.2).

The server underneath takes several. Then whoever stands before us may have looked at another one
than we do, who let in or keep out by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.errors import InvalidRequest

Refuse = Callable[[Request, InvalidRequest], Awaitable[Response]]


class OneHost:
    """Middleware: a request that names several hosts gets the answer of `refuse`."""

    def __init__(self, app: ASGIApp, *, refuse: Refuse) -> None:
        self.app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http" and _hosts(scope) > 1:
            error = InvalidRequest("A request names one host, and this one names several.")
            app = await self._refuse(Request(scope), error)
        await app(scope, receive, send)


def _hosts(scope: Scope) -> int:
    return sum(name == b"host" for name, _ in scope["headers"])
