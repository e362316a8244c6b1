"""An assistant as a form says it: read, then checked field by field."""

from __future__ import annotations

import math
from typing import cast

from starlette.datastructures import FormData, UploadFile

from appliance.errors import InvalidRequest
from appliance.gateway.origin import parts_of
from appliance.ledger.assistants import AssistantFields
from appliance.web import faq
from appliance.web.attachments import check_length
from appliance.web.documents import read_document
from appliance.web.page import Page
from appliance.web.presets import Kind, Known

KINDS = ("chat", "tutor", "service")
LONGEST = {"name": 80, "description": 300, "instructions": 20_000, "greeting": 1000}
LONGEST |= {"handover": 1000, "faq": 400_000}
MOST_REPLIES, LONGEST_REPLY, MOST_ORIGINS = 6, 80, 10


async def read_form(page: Page) -> Known:
    """What was typed, and the text of an uploaded list behind the pasted one."""
    check_length(page)
    async with page.request.form(max_files=1, max_fields=40, max_part_size=4_000_000) as form:
        file = form.get("faq_file")
        listing = _text(form, "faq")
        if isinstance(file, UploadFile) and file.filename:
            document = await read_document(file.filename, await file.read())
            listing = f"{listing}\n\n{document.text}".strip()
        return Known(
            id="",
            kind=cast(Kind, _text(form, "kind")),
            name=" ".join(_text(form, "name").split()),
            description=_text(form, "description"),
            instructions=_text(form, "instructions"),
            greeting=_text(form, "greeting"),
            replies=_lines(form, "replies"),
            temperature=_number(_text(form, "temperature")),
            thinking={"on": True, "off": False}.get(_text(form, "thinking")),
            faq=listing,
            handover=_text(form, "handover"),
            origins=_lines(form, "origins"),
            for_everyone=_text(form, "for_everyone") == "true",
            mine=True,
        )


def fields_of(page: Page, typed: Known) -> AssistantFields:
    """Raises InvalidRequest whose `param` is the field that has to be changed."""
    if typed.kind not in KINDS:
        raise InvalidRequest("Choose what kind of assistant it is.", param="kind")
    if not typed.name:
        raise InvalidRequest("An assistant needs a name.", param="name")
    _check_lengths(typed)
    if typed.temperature is not None and not 0 <= typed.temperature <= 2:
        raise InvalidRequest("The temperature is a number from 0 to 2.", param="temperature")
    if typed.kind == "service" and not faq.parse(typed.faq):
        raise InvalidRequest(
            "A service assistant needs questions with answers. Write “Q: …” and “A: …” on lines "
            "of their own, or upload a list.",
            param="faq",
        )
    return AssistantFields(
        kind=typed.kind,
        name=typed.name,
        description=typed.description,
        instructions=typed.instructions,
        greeting=typed.greeting,
        replies=list(typed.replies),
        temperature=typed.temperature,
        thinking=typed.thinking,
        faq=typed.faq,
        handover=typed.handover,
        origins=[_origin(one) for one in typed.origins],
        for_everyone=typed.for_everyone and page.caller.is_admin,
    )


def _check_lengths(typed: Known) -> None:
    for name, most in LONGEST.items():
        count = len(getattr(typed, name))
        if count > most:
            raise InvalidRequest(
                "At most %(most)s characters fit here; there are %(count)s.",
                param=name,
                most=f"{most:,}",
                count=f"{count:,}",
            )
    if len(typed.replies) > MOST_REPLIES or any(len(r) > LONGEST_REPLY for r in typed.replies):
        raise InvalidRequest(
            "At most %(most)s replies, each of at most %(longest)s characters.",
            param="replies",
            most=MOST_REPLIES,
            longest=LONGEST_REPLY,
        )
    if len(typed.origins) > MOST_ORIGINS:
        raise InvalidRequest("At most %(most)s sites.", param="origins", most=MOST_ORIGINS)


def _origin(text: str) -> str:
    """`https://shop.example` and nothing that would mean more in a policy."""
    parts = parts_of(text.strip().rstrip("/"))
    plain = f"{parts.scheme}://{parts.netloc}"
    harmless = all(c.isascii() and (c.isalnum() or c in ".-:[]") for c in parts.netloc)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or not harmless
        or (plain != text.strip().rstrip("/"))
    ):
        raise InvalidRequest(
            "“%(site)s” is not a site. Write it like https://shop.example, one on a line.",
            param="origins",
            site=text,
        )
    return plain


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""


def _lines(form: FormData, name: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in _text(form, name).split("\n") if line.strip())


def _number(text: str) -> float | None:
    """Not a number reads as one that is refused."""
    try:
        found = float(text) if text else None
    except ValueError:
        return -1.0
    return found if found is None or math.isfinite(found) else -1.0
