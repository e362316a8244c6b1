"""What keeps other sites away from these pages: an origin check and strict headers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

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
    """Refuses a state-changing request that another site made the browser send."""
    if is_sent_by_another_site(request.method, request.headers):
        raise PermissionDenied(
            "This form was sent from another site. Open the page here and try again."
        )
