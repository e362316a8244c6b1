"""Looking after chats: names, folders, settings, copies to keep, and taking leave of them."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Response, UploadFile

from appliance.errors import InvalidRequest
from appliance.web import chat_export, chat_import, chat_title
from appliance.web.chat_following import stop
from appliance.web.chat_list import CHAT_LIST, CHATS, ChatListView, ChatsView, chat_list
from appliance.web.chat_settings import TuningDep
from appliance.web.chat_views import CHAT, chat_view
from appliance.web.page import ASKING, PageDep
from appliance.web.page_route import PageRoute

MAX_FOLDER_LENGTH = 60
TITLE_WAIT_SECONDS = 60.0
router = APIRouter(route_class=PageRoute, dependencies=ASKING)
Text = Annotated[str, Form()]


@router.get("/chats")
async def chats(page: PageDep, before: str | None = None, q: str = "") -> Response:
    """All chats, last used first, or those in which something was said."""
    listed = await chat_list(page, before=before, search=q)
    if page.wants_fragment:
        return page.render(CHAT_LIST, ChatListView(chats=listed))
    return page.render(CHATS, ChatsView(chats=listed))


@router.post("/chat/{conversation_id}/rename")
async def rename(page: PageDep, conversation_id: str, title: Text) -> Response:
    if not title.strip():
        raise InvalidRequest("A chat needs a name. Write at least one character.", param="title")
    await page.parts.chats.of(conversation_id).change(
        conversation_id, page.caller.name, title=title, title_by="person"
    )
    return page.redirect(f"/chat/{conversation_id}")


@router.post("/chat/{conversation_id}/pin")
async def pin(
    page: PageDep, conversation_id: str, pinned: Annotated[bool, Form()] = False
) -> Response:
    """Keeps the chat at the top of the list, or lets it go."""
    await page.parts.chats.of(conversation_id).change(
        conversation_id, page.caller.name, pinned=pinned
    )
    return page.redirect(f"/chat/{conversation_id}")


@router.post("/chat/{conversation_id}/folder")
async def move(page: PageDep, conversation_id: str, folder: Text = "") -> Response:
    """Puts the chat into a folder; an empty name takes it out."""
    name = " ".join(folder.split())
    if len(name) > MAX_FOLDER_LENGTH:
        raise InvalidRequest(
            "The folder's name has %(length)s characters; at most %(most)s are allowed.",
            param="folder",
            length=len(name),
            most=MAX_FOLDER_LENGTH,
        )
    await page.parts.chats.of(conversation_id).change(
        conversation_id, page.caller.name, folder=name or None
    )
    return page.redirect(f"/chat/{conversation_id}")


@router.post("/chat/{conversation_id}/settings")
async def tune(page: PageDep, conversation_id: str, tuning: TuningDep) -> Response:
    """What the next answers are asked with."""
    await page.parts.chats.of(conversation_id).change(
        conversation_id,
        page.caller.name,
        system_prompt=tuning.system_prompt,
        sampling=dict(tuning.sampling),
        thinking_budget=tuning.thinking_budget,
    )
    return page.redirect(f"/chat/{conversation_id}")


@router.post("/chat/{conversation_id}/thinking")
async def think(
    page: PageDep, conversation_id: str, thinking: Annotated[bool, Form()] = False
) -> Response:
    """Remembers the switch as soon as it is turned, also for asking again."""
    await page.parts.chats.of(conversation_id).change(
        conversation_id, page.caller.name, thinking=thinking
    )
    return Response(status_code=204)


@router.get("/chat/{conversation_id}/title")
async def title(page: PageDep, conversation_id: str) -> Response:
    """The chat's name and the list, once the model has found one (or has not)."""
    store, runs = page.parts.chats.of(conversation_id), page.parts.runs
    await store.get(conversation_id, page.caller.name)
    if run := runs.get(chat_title.run_id(conversation_id), page.caller.name):
        await run.ended_within(TITLE_WAIT_SECONDS)
        runs.forget(run.id, page.caller.name)
    found = await store.get(conversation_id, page.caller.name)
    return page.render(CHAT, await chat_view(page, found), block="title_and_list")


@router.get("/chat/{conversation_id}/export/{kind}")
async def export(page: PageDep, conversation_id: str, kind: Literal["md", "json"]) -> Response:
    """The branch that is shown as Markdown, or everything as JSON, as a file."""
    found = await page.parts.chats.of(conversation_id).get(conversation_id, page.caller.name)
    if kind == "md":
        made, media_type = chat_export.as_markdown(page, found), "text/markdown; charset=utf-8"
    else:
        made, media_type = chat_export.as_json(found), "application/json"
    name = quote(f"{chat_export.file_name(found)}.{kind}")
    headers = {
        "Content-Disposition": f"attachment; filename=\"chat.{kind}\"; filename*=UTF-8''{name}",
        "Cache-Control": "no-store",
    }
    return Response(made, media_type=media_type, headers=headers)


@router.post("/chats/import")
async def bring_in(page: PageDep, file: Annotated[UploadFile, File()]) -> Response:
    """A chat from a file that was saved here, or from a plain list of messages."""
    conversation, messages = chat_import.read(await _bytes(file), page.caller.name)
    await page.parts.chats.kept.bring_in(conversation, messages)
    return page.redirect(f"/chat/{conversation.id}")


@router.post("/chat/{conversation_id}/delete")
async def delete(page: PageDep, conversation_id: str) -> Response:
    store, owner = page.parts.chats.of(conversation_id), page.caller.name
    await stop(page, conversation_id)
    chat_title.give_way(page, conversation_id)
    for message in (await store.get(conversation_id, owner)).messages:
        page.parts.runs.forget(message.id, owner)
    await store.delete(conversation_id, owner)
    return page.redirect("/")


async def _bytes(file: UploadFile) -> bytes:
    content = await file.read(chat_import.MAX_BYTES + 1)
    if len(content) > chat_import.MAX_BYTES:
        raise InvalidRequest(
            "The file is larger than %(most)s MB. Import chats one by one.",
            param="file",
            most=chat_import.MAX_BYTES // 1_000_000,
        )
    return content
