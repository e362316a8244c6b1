"""All pages, and the static files: what the app mounts."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route

from appliance.web import (
    assistant,
    assistant_sharing,
    assistant_taking,
    assistants,
    attachments,
    banner,
    chat,
    chat_branches,
    chat_care,
    chat_following,
    connect,
    drafts,
    engine,
    history,
    history_charts,
    history_export,
    history_mine,
    history_request,
    installing,
    invite,
    join,
    keys,
    login,
    preferences,
    status,
    talk,
    trust,
)
from appliance.web.assets import PREFIX, serve_asset
from appliance.web.parts import WebParts

PAGES = (
    chat.router,
    chat_branches.router,
    chat_care.router,
    chat_following.router,
    drafts.router,
    assistant.router,
    assistant_taking.router,
    assistants.router,
    attachments.router,
    assistant_sharing.router,
    talk.router,
    history.router,
    history_charts.router,
    history_export.router,
    history_mine.router,
    history_request.router,
    keys.router,
    status.router,
    login.router,
    join.router,
    invite.router,
    connect.router,
    trust.router,
    banner.router,
    engine.router,
    preferences.router,
    installing.router,
)


def mount_pages(app: FastAPI, parts: WebParts) -> None:
    """Adds every page, given `parts`. Not part of the API's schema."""
    app.state.pages = parts
    for page in PAGES:
        app.router.routes.extend(page.routes)


def mount_static(app: FastAPI) -> None:
    """Serves `/static/…`, the same for everyone and without a ledger row."""
    app.router.routes.append(Route(PREFIX + "/{name:path}", serve_asset, methods=["GET"]))
