"""One request whole: what was asked and answered, its times, opinions, and running it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Response

from appliance.errors import NotFound, PermissionDenied
from appliance.gateway.context import Origin
from appliance.gateway.replay import Changes, again
from appliance.ledger.tables import GenerationRecord, RequestRecord
from appliance.ledger.tables_feedback import Feedback
from appliance.ledger.views import RequestDetail
from appliance.web.difference import Piece, compare_words
from appliance.web.generations import GenerationView, generation_view
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.run import Run

router = APIRouter(route_class=PageRoute)
THINKING = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class RequestView:
    """`given` is the reader's own opinion; `replays` are requests that ran this one again, and
    `original` is the one that this ran again. `adapters` are the other models offered here."""

    request: RequestRecord
    generations: Sequence[GenerationView]
    given: Feedback | None
    replays: Sequence[str]
    original: str | None
    adapters: Sequence[str]


@dataclass(frozen=True, slots=True)
class CompareView:
    """Two answers to one question; `pieces` are where their texts are the same and differ."""

    first: GenerationView
    second: GenerationView
    first_request: str
    second_request: str
    running: bool
    pieces: Sequence[Piece]
    thought_pieces: Sequence[Piece]
    changed: Sequence[tuple[str, str, str]]


@router.get("/history/{request_id}")
async def request(page: PageDep, request_id: str) -> Response:
    found = await _visible(page, request_id)
    base_url = str(page.request.base_url).rstrip("/")
    history, ids = page.parts.history, [record.id for record in found.generations]
    first = found.generation
    original = await history.request_of(first.replay_of) if first and first.replay_of else None
    facts = page.parts.engine.status.facts
    view = RequestView(
        request=found.request,
        generations=tuple(generation_view(record, base_url) for record in found.generations),
        given=(await history.ratings([request_id], page.caller.name)).get(request_id),
        replays=await history.replays(ids) if ids else (),
        original=original,
        adapters=facts.adapters if facts else (),
    )
    return page.render("request.html", view)


@router.post("/history/{request_id}/feedback")
async def give_feedback(
    page: PageDep,
    request_id: str,
    rating: Annotated[int, Form()] = 0,
    note: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    """Keeps an opinion: rating 1, -1, or 0 for none; without rating and note it is taken back."""
    await _visible(page, request_id)
    await page.parts.history.rate(request_id, page.caller.name, rating or None, note)
    if page.wants_fragment:
        given = (await page.parts.history.ratings([request_id], page.caller.name)).get(request_id)
        return page.render("opinion.html", OpinionView(request_id, given, back))
    inside = back.startswith("/") and not back.startswith(("//", "/\\"))
    return page.redirect(back if inside else f"/history/{request_id}")


@dataclass(frozen=True, slots=True)
class OpinionView:
    """The thumbs of one answer; `back` is the page on which they stand."""

    request_id: str
    given: Feedback | None
    back: str


@router.post("/history/{request_id}/replay", dependencies=ASKING)
async def replay(
    page: PageDep,
    request_id: str,
    temperature: Annotated[str, Form()] = "",
    thinking: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "",
    url: Annotated[str, Form()] = "",
    key: Annotated[str, Form()] = "",
) -> Response:
    """Starts the same request again, with changes, and goes to the comparison."""
    record = _only(await _visible(page, request_id))
    if url.strip() and not page.caller.is_admin:
        raise PermissionDenied("Only the owner and admin keys may ask another server.")
    changes = Changes(
        temperature=_number(temperature),
        thinking=THINKING.get(thinking),
        model=model.strip() or None,
        url=url.strip() or None,
    )
    origin = Origin(dialect="replay", replay_of=record.id)
    there = (
        page.parts.elsewhere.at(changes.url, key or None, changes.model) if changes.url else None
    )
    page.parts.runs.start(
        page.request_id,
        again(record, changes),
        page.caller,
        request_id=page.request_id,
        keep=_nothing,
        origin=origin,
        gateway=there,
    )
    return page.redirect(f"/history/{request_id}/compare/{page.request_id}")


@router.get("/history/{request_id}/compare/{other_id}")
async def compare(page: PageDep, request_id: str, other_id: str) -> Response:
    first = _only(await _visible(page, request_id))
    run = page.parts.runs.get(other_id, page.caller.name)
    second = _only(await _visible(page, other_id))
    running = run is not None and not run.over
    answers = generation_view(first), generation_view(second)
    view = CompareView(
        first=answers[0],
        second=answers[1],
        first_request=request_id,
        second_request=other_id,
        running=running,
        pieces=() if running else compare_words(*(answer.said for answer in answers)),
        thought_pieces=()
        if running
        else compare_words(first.reasoning or "", second.reasoning or ""),
        changed=_changed(*answers),
    )
    return page.render("compare.html", view, block="answers" if page.wants_fragment else None)


async def _visible(page: Page, request_id: str) -> RequestDetail:
    found = await page.parts.queries.request(request_id, owner=page.owner)
    if found is None:
        raise NotFound("There is no such request, or it is somebody else's.")
    return found


def _only(found: RequestDetail) -> GenerationRecord:
    if found.generation is None:
        raise NotFound("This request asked the engine for nothing, so there is no answer.")
    return found.generation


def _number(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return -1.0  # refused by name with what is allowed


def _changed(first: GenerationView, second: GenerationView) -> list[tuple[str, str, str]]:
    """What the two were asked with, where it differs."""
    old, new = first.record, second.record
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in ("model", "engine")]
    before, after = first.parameters, second.parameters
    names = sorted({*before, *after})
    pairs += [(name, before.get(name, "—"), after.get(name, "—")) for name in names]
    return [(name, was or "—", now or "—") for name, was, now in pairs if was != now]


async def _nothing(_run: Run) -> None:
    """The ledger's row is all that is kept of a replay."""
