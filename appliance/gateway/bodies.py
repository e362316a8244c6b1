"""How much a client may send. What is too long is refused while it comes, and nobody may send much
before their key was looked at, so that no stranger has us keep and parse it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.errors import ApplianceError, TooLong
from appliance.gateway.origin import SAFE_METHODS

# More than the largest upload of a page, with its form around it.
MOST_BYTES = 32_000_000
# More than any form that is open to all, and little to parse.
STRANGERS_BYTES = 64_000

Know = Callable[[Request], Awaitable[object]]


class Refused(HTTPException):
    """A refusal while a body is read, where the framework lets no other error through."""

    def __init__(self, refusal: ApplianceError) -> None:
        super().__init__(refusal.status, str(refusal))
        self.refusal = refusal


class BoundedBodies:
    """Middleware: raises `Refused` out of the reading of a body that is too long.

    `know` names the caller by the head of the request, or raises what refuses them; it is asked
    once a body is longer than a stranger's may be.
    """

    def __init__(self, app: ASGIApp, *, know: Know, most: int = MOST_BYTES) -> None:
        self.app = app
        self._know = know
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Nobody reads what comes along with a GET; while answers stream it is thrown away.
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"")
        taken, announced, is_known = 0, int(said) if said.isdigit() else 0, False

        async def check(length: int) -> None:
            nonlocal is_known
            if length > self._most:
                raise Refused(_too_long(self._most))
            if length > STRANGERS_BYTES and not is_known:
                await self._check_known(Request(scope))
                is_known = True

        async def receive_bounded() -> Message:
            nonlocal taken
            await check(announced)
            message = await receive()
            taken += len(message.get("body", b""))
            await check(taken)
            return message

        await self.app(scope, receive_bounded, send)

    async def _check_known(self, request: Request) -> None:
        try:
            await self._know(request)
        except ApplianceError as refusal:
            raise Refused(refusal) from refusal


def _too_long(most: int) -> TooLong:
    return TooLong(
        "At most %(most)s MB can be sent at once. Send less, or in parts.",
        most=most // 1_000_000,
    )
