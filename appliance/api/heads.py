"""HEAD for what GET answers, as HTTP asks of a server and as monitors send it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute


def answer_heads(routes: APIRouter) -> APIRouter:
    """The same routes, each GET answering HEAD too. The server leaves the body out."""
    for route in list(routes.routes):
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            routes.add_api_route(
                route.path.removeprefix(routes.prefix),
                route.endpoint,
                methods=["HEAD"],
                include_in_schema=False,
            )
    return routes
