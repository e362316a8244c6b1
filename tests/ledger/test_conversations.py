"""Conversations: kept in order, and nobody else's business."""

from __future__ import annotations

import pytest

from appliance.errors import InvalidRequest, NotFound
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


async def test_a_conversation_grows_message_by_message(ledger: Ledger) -> None:
    request_id = ledger.record()
    chat = await ledger.conversations.create("owner", title="  About \n ledgers ")
    await ledger.conversations.add_message(
        chat.id, "owner", role="user", content="What is a ledger?"
    )
    answer = await ledger.conversations.add_message(
        chat.id,
        "owner",
        role="assistant",
        content="",
        status="streaming",
        request_id=request_id,
    )
    await ledger.conversations.update_message(answer.id, "owner", content="A book")
    await ledger.conversations.update_message(
        answer.id, "owner", content="A book that", reasoning="Short.", status="stopped"
    )

    found = await ledger.conversations.get(chat.id, "owner")

    assert found.conversation.title == "About ledgers"
    assert [(m.role, m.content, m.reasoning, m.status, m.request_id) for m in found.messages] == [
        ("user", "What is a ledger?", None, "done", None),
        ("assistant", "A book that", "Short.", "stopped", request_id),
    ]
    assert found.conversation.updated_at > chat.updated_at


async def test_the_list_is_paged_with_the_last_used_first(ledger: Ledger) -> None:
    made = [await ledger.conversations.create("owner", title=f"chat {n}") for n in range(5)]
    await ledger.conversations.create("Anna", title="not yours")
    await ledger.conversations.add_message(made[0].id, "owner", role="user", content="again")

    titles, before = [], None
    for _ in range(3):
        page = await ledger.conversations.list("owner", limit=2, before=before)
        titles += [row.title for row in page.rows]
        before = page.next_before

    assert titles == ["chat 0", "chat 4", "chat 3", "chat 2", "chat 1"]
    assert before is None


async def test_a_made_up_place_in_the_list_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="next_before"):
        await ledger.conversations.list("owner", before="yesterday")


async def test_another_owner_cannot_reach_a_conversation(ledger: Ledger) -> None:
    chat = await ledger.conversations.create("Anna", title="private")
    message = await ledger.conversations.add_message(chat.id, "Anna", role="user", content="mine")

    for other in ("owner", "anna", ""):
        for attempt in (
            ledger.conversations.get(chat.id, other),
            ledger.conversations.change(chat.id, other, title="seen"),
            ledger.conversations.delete(chat.id, other),
            ledger.conversations.add_message(chat.id, other, role="user", content="hello"),
            ledger.conversations.update_message(message.id, other, content="changed"),
        ):
            with pytest.raises(NotFound, match="not yours"):
                await attempt
        assert (await ledger.conversations.list(other)).rows == ()

    found = await ledger.conversations.get(chat.id, "Anna")
    assert found.conversation.title == "private"
    assert [m.content for m in found.messages] == ["mine"]


async def test_deleting_removes_what_was_said(ledger: Ledger) -> None:
    chat = await ledger.conversations.create("Anna", title="a secret title")
    message = await ledger.conversations.add_message(
        chat.id, "Anna", role="user", content="a secret text"
    )
    kept = await ledger.conversations.create("Anna", title="kept")
    await ledger.conversations.add_message(kept.id, "Anna", role="user", content="still here")

    await ledger.conversations.delete(chat.id, "Anna")

    with pytest.raises(NotFound):
        await ledger.conversations.get(chat.id, "Anna")
    with pytest.raises(NotFound):
        await ledger.conversations.delete(chat.id, "Anna")
    with pytest.raises(NotFound):
        await ledger.conversations.update_message(message.id, "Anna", content="back")
    assert [row.id for row in (await ledger.conversations.list("Anna")).rows] == [kept.id]
    assert ledger.sql("select content from message") == [("still here",)]
    assert ledger.sql("select title from conversation order by id") == [("",), ("kept",)]


async def test_a_conversation_can_be_renamed(ledger: Ledger) -> None:
    chat = await ledger.conversations.create("owner")
    await ledger.conversations.change(chat.id, "owner", title="題" * 500)

    found = await ledger.conversations.get(chat.id, "owner")
    assert found.conversation.title == "題" * 200
