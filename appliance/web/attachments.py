"""Files attached to a message: read, counted, shown before sending, told to the model.

Drafts live in the form they will be sent with (hidden `attachment` fields), so tabs do not mix.
Without JavaScript the answer is a redirect back to the form, with the drafts in its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import FormData, UploadFile

from appliance.errors import ContextExceeded, InvalidRequest
from appliance.gateway.origin import parts_of
from appliance.ledger.tables_assistants import Attachment
from appliance.web.documents import MAX_FILE_BYTES, Document, read_document
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute

MAX_FILES = 10
MAX_UPLOAD_BYTES = MAX_FILE_BYTES + 5_000_000
MAX_ADDRESS_BYTES = 12_000
ANSWER_TOKENS = 512  # what must be left for an answer, at least
router = APIRouter(route_class=PageRoute, dependencies=ASKING)


@dataclass(frozen=True, slots=True)
class AttachView:
    """`attached` are the drafts of the form."""

    attached: tuple[Attachment, ...]


@router.post("/attachments")
async def attach(page: PageDep) -> Response:
    """Reads the form's `files`, or drops its `remove`; answers with the drafts there are now."""
    check_length(page)
    limits = {"max_files": MAX_FILES + 1, "max_fields": 100, "max_part_size": 4_000_000}
    async with page.request.form(**limits) as form:
        attached = await _drafts(page, form)
        if page.wants_fragment:
            return page.render("attach.html", AttachView(attached))
        return page.redirect(_back(form, attached))


@router.get("/attachments/{attachment_id}")
async def show(page: PageDep, attachment_id: str) -> Response:
    """The text that was read, as the model gets it."""
    found = await page.parts.attachments.get(attachment_id, page.caller.name)
    headers = {"Cache-Control": "no-store", "Content-Disposition": "inline"}
    return PlainTextResponse(found.text, headers=headers)


async def _drafts(page: Page, form: FormData) -> tuple[Attachment, ...]:
    """What is attached after this upload or removal."""
    removed = form.get("remove")
    ids = [one for one in form.getlist("attachment") if isinstance(one, str) and one != removed]
    kept = await page.parts.attachments.drafts(ids, page.caller.name)
    new = await _read(form) if removed is None else []
    if len(kept) + len(new) > MAX_FILES:
        raise InvalidRequest(
            "A message takes at most %(most)s files. Send some with the next one.", most=MAX_FILES
        )
    return (*kept, *await _added(page, kept, new))


def with_files(content: str, files: Sequence[Attachment]) -> str:
    """A question as the model reads it: the files first, each fenced, then what was asked.

    The fence is a mark that does not occur in the text, so that a file cannot end it by itself.
    """
    return "\n\n".join([*(_fenced(one) for one in files), content]).strip()


def _fenced(file: Attachment) -> str:
    tag = "file"
    while f"</{tag}>" in file.text:
        tag += "-"
    name = file.name.replace('"', "'")
    return f'<{tag} name="{name}">\n{file.text}\n</{tag}>'


def check_length(page: Page) -> None:
    """Refuses a form that is too long before any of it is read. Raises InvalidRequest."""
    length = page.request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_UPLOAD_BYTES:
        raise InvalidRequest(
            "At most %(most)s MB can be uploaded at once. Attach fewer or smaller files.",
            most=MAX_UPLOAD_BYTES // 1_000_000,
        )


async def _read(form: FormData) -> list[Document]:
    files = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
    if not files:
        raise InvalidRequest("No file was chosen. Choose one, then press “Attach”.", param="files")
    return [await read_document(one.filename or "", await one.read()) for one in files]


async def _added(
    page: Page, kept: Sequence[Attachment], new: Sequence[Document]
) -> list[Attachment]:
    """All of the new ones, or none: each is counted before any is written down."""
    counts = [await page.parts.count_tokens(one.text) for one in new]
    before = sum(one.tokens or 0 for one in kept)
    for document, count in zip(new, counts, strict=True):
        _check_fits(page, document.name, count, before)
        before += count or 0
    return [
        await page.parts.attachments.add(
            page.caller.name,
            name=document.name,
            kind=document.kind,
            size=document.size,
            text=document.text,
            pages=document.pages,
            tokens=count,
        )
        for document, count in zip(new, counts, strict=True)
    ]


def _check_fits(page: Page, name: str, count: int | None, before: int) -> None:
    facts = page.parts.engine.status.facts
    if count is None or facts is None or not facts.context_length:
        return
    if before + count + ANSWER_TOKENS > facts.context_length:
        raise ContextExceeded(
            "“%(name)s” has %(tokens)s tokens. With %(before)s attached already and %(answer)s for "
            "the answer, that is more than the %(limit)s the model can hold. Attach the part that "
            "matters, or remove another file.",
            name=name,
            tokens=f"{count:,}",
            before=f"{before:,}",
            answer=f"{ANSWER_TOKENS:,}",
            limit=f"{facts.context_length:,}",
        )


def _back(form: FormData, attached: Sequence[Attachment]) -> str:
    """The form's own page, with its drafts and what has been typed so far."""
    came_from = parts_of(str(form.get("back", "/")))
    place = "/" + came_from.path.lstrip("/\\")
    fields = [("attachment", one.id) for one in attached]
    if prompt := str(form.get("prompt", "")):
        fields.append(("prompt", prompt))
    query = "&".join(filter(None, (came_from.query, urlencode(fields))))
    if len(query) > MAX_ADDRESS_BYTES:
        raise InvalidRequest(
            "Without JavaScript, attach the files first and write the long message afterwards."
        )
    return f"{place}?{query}" if query else place
