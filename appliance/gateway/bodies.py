"""How much a client may send: what is too long is refused while it comes, before anybody is asked
who they are, so that no stranger can fill the memory."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.errors import ApplianceError, TooLong
from appliance.gateway.origin import SAFE_METHODS

# More than the largest upload of a page, with its form around it.
MOST_BYTES = 32_000_000


class Refused(HTTPException):
    """A refusal while a body is read, where the framework lets no other error through."""

    def __init__(self, refusal: ApplianceError) -> None:
        super().__init__(refusal.status, str(refusal))
        self.refusal = refusal


class BoundedBodies:
    """Middleware: raises `Refused` out of the reading of a body that is too long."""

    def __init__(self, app: ASGIApp, *, most: int = MOST_BYTES) -> None:
        self.app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Nobody reads what comes along with a GET; while answers stream it is thrown away.
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"")
        taken, announced = 0, int(said) if said.isdigit() else 0

        async def receive_bounded() -> Message:
            nonlocal taken
            self._check(announced)
            message = await receive()
            taken += len(message.get("body", b""))
            self._check(taken)
            return message

        await self.app(scope, receive_bounded, send)

    def _check(self, length: int) -> None:
        if length > self._most:
            raise Refused(
                TooLong(
                    "At most %(most)s MB can be sent at once. Send less, or in parts.",
                    most=self._most // 1_000_000,
                )
            )
