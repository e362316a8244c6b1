"""What keeps other sites away from these pages: an origin check and strict headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from appliance.errors import PermissionDenied
from appliance.gateway.identity import SAFE_METHODS

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
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def secure_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def check_same_origin(request: Request) -> None:
    """Refuses a state-changing request that another site made the browser send.

    Browsers always send Sec-Fetch-Site (on secure origins and localhost) or, on a POST, Origin,
    and a page cannot forge either. A request with neither does not come from a browser's form.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        trusted = site in {"same-origin", "none"}
    else:
        origin = request.headers.get("origin")
        trusted = origin is None or _host(origin) == request.headers.get("host", "").lower()
    if not trusted:
        raise PermissionDenied(
            "This form was sent from another site. Open the page here and try again."
        )


def _host(origin: str) -> str:
    return urlsplit(origin).netloc.lower()
