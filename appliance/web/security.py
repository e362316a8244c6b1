"""What keeps other sites away from these pages: an origin check and strict headers."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.errors import PermissionDenied
from appliance.gateway.origin import is_sent_by_another_site

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# What is no page loads nothing and runs nothing, should a browser ever show it as one.
NOTHING_AT_ALL = "default-src 'none'; frame-ancestors 'none'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": NOTHING_AT_ALL,
}
# Cuts a page off from whoever opened it, for which a browser throws away the process that it has
# ready and takes another: half of an empty page's time. So not where nobody can have opened it: the
# reader typed the address ("none"), or came from a page here, which was cut off if need be. A
# browser that does not say where from gets it.
OPENER_POLICY = ("Cross-Origin-Opener-Policy", "same-origin")
OPENED_BY_NOBODY = (b"none", b"same-origin")
DAY_SECONDS = 24 * 3600


def secure_headers(response: Response) -> Response:
    """Gives a page its policy; `SecureHeaders` adds the rest."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    return response


class SecureHeaders:
    """Middleware: strict headers on every answer, unless a route has set its own.

    `hsts_days`: over HTTPS, tell browsers to use nothing else for so long; 0 says nothing.
    """

    def __init__(self, app: ASGIApp, *, hsts_days: int = 0) -> None:
        self.app = app
        self._hsts_days = hsts_days

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if dict(scope["headers"]).get(b"sec-fetch-site") not in OPENED_BY_NOBODY:
                    headers.setdefault(*OPENER_POLICY)
                if self._hsts_days and scope["scheme"] == "https":
                    lasting = f"max-age={self._hsts_days * DAY_SECONDS}"
                    headers.setdefault("Strict-Transport-Security", lasting)
            await send(message)

        await self.app(scope, receive, send_guarded)


def check_same_origin(request: Request) -> None:
    """Refuses a state-changing request that another site made the browser send."""
    if is_sent_by_another_site(request.method, request.headers):
        raise PermissionDenied(
            "This form was sent from another site. Open the page here and try again."
        )
