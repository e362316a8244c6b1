"""What the pages are given, made from the parts and the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from appliance import VERSION
from appliance.doors import Doors
from appliance.engine.client import EngineClient
from appliance.engine.counting import TokenCounter
from appliance.fit.catalogue import load_catalogue
from appliance.fit.plan import Plan
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.identity import Caller
from appliance.ledger.assistants import Assistants
from appliance.ledger.attachments import Attachments
from appliance.ledger.conversations import Conversations
from appliance.ledger.drafts import Drafts
from appliance.ledger.history import History
from appliance.ledger.joining import Joining
from appliance.ledger.mine import Mine
from appliance.ledger.queries import Queries
from appliance.parts import Parts
from appliance.settings import Settings
from appliance.web.frame import Logged
from appliance.web.parts import WebParts


def web_parts(
    settings: Settings,
    plan: Plan,
    parts: Parts,
    queries: Queries,
    history: History,
    elsewhere: Elsewhere,
    named: Callable[[Request], Awaitable[Caller]],
    entrance: Doors,
) -> WebParts:
    return WebParts(
        gateway=parts.gateway,
        identify=named,
        engine=parts.engine,
        queries=queries,
        history=history,
        mine=Mine(parts.database, parts.writer),
        elsewhere=elsewhere,
        logged=Logged(
            full=settings.log_content == "full",
            days=settings.retention_days,
            text_days=settings.retention_content_days,
            megabytes=settings.retention_mb,
        ),
        keys=parts.keys,
        conversations=Conversations(parts.database, parts.writer),
        drafts=Drafts(parts.database, parts.writer),
        chat_titles=not settings.no_chat_titles,
        attachments=Attachments(parts.database, parts.writer),
        assistants=Assistants(parts.database, parts.writer),
        count_tokens=TokenCounter(parts.engine, EngineClient(parts.http)),
        runs=parts.runs,
        plan=plan,
        losses=lambda: parts.monitor.ledger,
        fronts=lambda: parts.monitor.fronts,
        reach=entrance.reach,
        demo_model=load_catalogue().demo.name,
        sessions=entrance.sessions,
        login_tries=entrance.tries,
        joining=Joining(parts.database, parts.writer),
        sign_out_all=entrance.signing.replace,
        language=settings.language,
        version=VERSION,
    )
