"""The signed cookie that a browser gets for a key: at the login page or by an invitation.

The cookie holds the key's id, never its secret, and the epoch of the key's sessions: when all of
them are ended, the epoch moves on. It is signed, not encrypted: readable, unforgeable. Whether the
key still holds (revoked, expired, signed out) is asked anew at each request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from appliance.gateway.identity import SessionClaim

SESSION_COOKIE = "appliance_session"
MAX_AGE_SECONDS = 30 * 24 * 3600


class Sessions:
    """Makes and reads the cookie. `secrets()` are those in force, the one that signs last."""

    def __init__(self, secrets: Callable[[], Sequence[str]]) -> None:
        self._secrets = secrets

    def start(self, request: Request, response: Response, key_id: str, epoch: int) -> None:
        """Remembers the key in the browser for 30 days."""
        response.set_cookie(
            SESSION_COOKIE,
            self._signer().dumps([key_id, epoch]),
            max_age=MAX_AGE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def read(self, request: Request) -> SessionClaim | None:
        """What a genuine, unexpired cookie says, else None."""
        cookie = request.cookies.get(SESSION_COOKIE)
        if cookie is None:
            return None
        try:
            found = self._signer().loads(cookie, max_age=MAX_AGE_SECONDS)
        except BadSignature:
            return None
        match found:
            case [str() as key_id, int() as epoch]:
                return SessionClaim(key_id, epoch)
            case str():  # as cookies were before sessions could be ended together
                return SessionClaim(found, 0)
        return None

    def end(self, response: Response) -> None:
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")

    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(list(self._secrets()), salt="appliance.session")
