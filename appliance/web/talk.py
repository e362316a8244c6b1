"""The page on which one talks to an assistant: by a link with a key, in a frame, or by oneself.

The key may stand in the address (`key`), so that a link or a widget needs no login; a talk is
known by a name in the address too (`talk`), since a frame on another site has no cookies.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request, Response
from markupsafe import Markup

from appliance.domain import Phrase
from appliance.errors import NotFound
from appliance.web import markdown
from appliance.web.answering import ask, cited
from appliance.web.faq import Entry
from appliance.web.page import CALLER, PARTS, Page, carrying
from appliance.web.page_route import PageRoute
from appliance.web.presets import Known, found
from appliance.web.security import CONTENT_SECURITY_POLICY
from appliance.web.streaming import announcement, stream
from appliance.web.talks import Talk, Turn

router = APIRouter(route_class=PageRoute)
TALK = "talk.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """`cached_ms`: how old the answer is that was given again; `place` is its stream."""

    id: str
    question: str
    html: Markup
    running: bool
    stopped: bool
    problem: Phrase | None
    sources: tuple[Entry, ...]
    cited: frozenset[int]
    known: bool
    cached_ms: float | None
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkView:
    """`action` is where the form goes, `again` begins anew; `embed`: in a frame of another site;
    `ended`: the talk that was asked for is no longer known."""

    assistant: Known
    turns: tuple[TurnView, ...]
    action: str
    again: str
    embed: bool
    ended: bool
    talk: str
    key: str


async def visited(request: Request, key: str = "") -> Page:
    """The page of whoever has a key, in the address or as everywhere else."""
    if key:
        request = carrying(request, key)
    request.scope[CALLER] = caller = await request.scope[PARTS].identify(request)
    return Page(request, request.scope[PARTS], caller)


VisitDep = Annotated[Page, Depends(visited)]


@router.get("/assistants/{assistant_id}/talk")
async def show(
    page: VisitDep, assistant_id: str, talk: str = "", key: str = "", embed: bool = False
) -> Response:
    known = await found(page, assistant_id)
    running = _known_talk(page, known, talk)
    ended = bool(talk) and running is None
    view = _view(known, running, key, embed, ended=ended)
    response = page.render(TALK, view, status=404 if ended else 200)
    if embed and known.origins:
        policy = CONTENT_SECURITY_POLICY.replace(
            "frame-ancestors 'none'", "frame-ancestors " + " ".join(known.origins)
        )
        response.headers["Content-Security-Policy"] = policy
    return response


@router.post("/assistants/{assistant_id}/talk")
async def say(
    page: VisitDep,
    assistant_id: str,
    prompt: Annotated[str, Form()] = "",
    talk: Annotated[str, Form()] = "",
    embed: Annotated[bool, Form()] = False,
    key: str = "",
) -> Response:
    """Asks, and goes to where the answer grows: in a new talk, where the old one is over."""
    known = await found(page, assistant_id)
    running = _known_talk(page, known, talk)
    running = running or page.parts.talks.begin(known.id, page.caller.name)
    turn = ask(page, known, running, prompt)
    return page.redirect(_address(known, running, key, embed) + f"#{turn.id}")


@router.get("/assistants/{assistant_id}/talk/stream")
async def follow(
    page: VisitDep, assistant_id: str, talk: str, turn: str, key: str = "", embed: bool = False
) -> Response:
    """The answer as it grows, then the turn as it stays."""
    known = await found(page, assistant_id)
    running = page.parts.talks.get(talk, known.id, page.caller.name)
    asked = running.turn(turn)

    async def finished() -> str:
        view = _view(known, running, key, embed, only=asked)
        return page.html(TALK, view, block="turns") + announcement(page, asked.run)

    return stream(page, asked.run, finished)


def _known_talk(page: Page, known: Known, talk: str) -> Talk | None:
    """None for no name, and for one that nobody knows (any more) or that is another's."""
    with contextlib.suppress(NotFound):
        return page.parts.talks.get(talk, known.id, page.caller.name)
    return None


def _view(
    known: Known,
    talk: Talk | None,
    key: str,
    embed: bool,
    only: Turn | None = None,
    *,
    ended: bool = False,
) -> TalkView:
    turns = [only] if only is not None else talk.turns if talk is not None else []
    base = _address(known, None, key, embed)
    return TalkView(
        assistant=known,
        turns=tuple(_turn(turn, known, talk, key, embed) for turn in turns if talk is not None),
        action=f"/assistants/{known.id}/talk" + (f"?{urlencode({'key': key})}" if key else ""),
        again=base,
        embed=embed,
        ended=ended,
        talk=talk.id if talk is not None else "",
        key=key,
    )


def _turn(turn: Turn, known: Known, talk: Talk, key: str, embed: bool) -> TurnView:
    run, address = turn.run, _address(known, talk, key, embed)
    age = run.cached_age if run is not None else None
    return TurnView(
        id=turn.id,
        question=turn.question,
        html=markdown.render(turn.answer),
        running=run is not None and not run.over,
        stopped=run is not None and run.state == "stopped",
        problem=run.error if run is not None else None,
        sources=turn.sources,
        cited=cited(turn),
        known=run is not None,
        cached_ms=None if age is None else age * 1000,
        place=address.replace("/talk?", "/talk/stream?", 1) + "&" + urlencode({"turn": turn.id}),
    )


def _address(known: Known, talk: Talk | None, key: str, embed: bool) -> str:
    fields = {"talk": talk.id if talk is not None else "", "key": key, "embed": embed and "1"}
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"/assistants/{known.id}/talk" + (f"?{query}" if query else "")
