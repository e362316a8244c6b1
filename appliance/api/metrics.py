"""`/metrics` for Prometheus: the owner, an admin key, or the token that is set for scraping."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from appliance.api.parts import ApiParts
from appliance.errors import PermissionDenied

Page = Callable[[str], Awaitable[tuple[bytes, str]]]


def router(parts: ApiParts, page: Page, token: str | None) -> APIRouter:
    """`page` gives text and content type for an Accept header; `token` None: none is set."""
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """Metrics in Prometheus' text format; for the owner, an admin key or `--metrics-token`."""
        if not _shows_token(request, token):
            caller = await parts.identify(request)
            if not caller.is_admin:
                raise PermissionDenied("Only the owner or an admin key may read the metrics.")
        text, content_type = await page(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})

    return routes


def _shows_token(request: Request, token: str | None) -> bool:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown.strip().encode(), token.encode())
