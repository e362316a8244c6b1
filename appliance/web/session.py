"""The signed cookie that a browser gets for a key at the login page.

The cookie holds the key's id, never its secret. It is signed, not encrypted: readable, unforgeable.
Whether the key still holds (revoked, expired) is asked anew at each request.
"""

from __future__ import annotations

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

SESSION_COOKIE = "appliance_session"
MAX_AGE_SECONDS = 30 * 24 * 3600


def start_session(request: Request, response: Response, key_id: str, secret: str) -> None:
    """Remembers `key_id` in the browser for 30 days; `secret` signs it."""
    response.set_cookie(
        SESSION_COOKIE,
        _signer(secret).dumps(key_id),
        max_age=MAX_AGE_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def read_session(request: Request, secret: str) -> str | None:
    """The key id of a genuine, unexpired session cookie, else None."""
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie is None:
        return None
    try:
        found = _signer(secret).loads(cookie, max_age=MAX_AGE_SECONDS)
    except BadSignature:
        return None
    return found if isinstance(found, str) else None


def end_session(response: Response) -> None:
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")


def _signer(secret: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret, salt="appliance.session")
