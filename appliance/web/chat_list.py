"""The list of chats: pinned, by folder, by date; searched, and older ones page by page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from appliance.domain import Phrase
from appliance.ledger.tables_chat import Conversation
from appliance.ledger.views import ConversationRow
from appliance.web.page import Page

CHATS = "chats.html"
CHAT_LIST = "chat_list.html"
RECENT_CHATS = 40
PINNED = Phrase("Pinned")
AGES = (
    (0, "today", Phrase("Today")),
    (1, "yesterday", Phrase("Yesterday")),
    (7, "week", Phrase("The last 7 days")),
    (30, "month", Phrase("The last 30 days")),
)
OLDER = ("older", Phrase("Older"))


@dataclass(frozen=True, slots=True)
class Group:
    """Chats under one heading: a phrase, or the name that a person gave a folder."""

    key: str
    label: Phrase | None
    folder: str
    rows: tuple[ConversationRow, ...]


@dataclass(frozen=True, slots=True)
class ChatList:
    """`next_before` asks for older ones; `search` is what was looked for."""

    groups: tuple[Group, ...]
    next_before: str | None = None
    search: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(group.folder for group in self.groups if group.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatsView:
    chats: ChatList
    conversation: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatListView:
    chats: ChatList
    conversation: Conversation | None = None


async def chat_list(page: Page, *, before: str | None = None, search: str = "") -> ChatList:
    """The reader's chats. Whoever searches, or turns the page, sees them by date alone."""
    kept, owner = page.parts.chats.kept, page.caller.name
    search = search.strip()
    found = await kept.list(owner, limit=RECENT_CHATS, before=before, search=search)
    today = datetime.now().astimezone().date()
    if before or search:
        return ChatList(tuple(_by_date(found.rows, today)), found.next_before, search)
    placed = await kept.placed(owner)
    rest = (row for row in found.rows if not row.pinned and not row.folder)
    groups = (*_by_place(placed), *_by_date(rest, today))
    return ChatList(groups, found.next_before)


def _by_place(rows: Iterable[ConversationRow]) -> list[Group]:
    """Pinned ones first, then folder by folder in the order of the alphabet."""
    pinned: list[ConversationRow] = []
    folders: dict[str, list[ConversationRow]] = {}
    for row in rows:
        (pinned if row.pinned else folders.setdefault(row.folder or "", [])).append(row)
    first = [Group("pinned", PINNED, "", tuple(pinned))] if pinned else []
    named = sorted(folders.items(), key=lambda item: item[0].casefold())
    return first + [Group(f"folder-{name}", None, name, tuple(rows)) for name, rows in named]


def _by_date(rows: Iterable[ConversationRow], today: date) -> list[Group]:
    """In the order given, which is by date already."""
    headings: dict[str, tuple[Phrase, list[ConversationRow]]] = {}
    for row in rows:
        key, label = _age(row.updated_at, today)
        headings.setdefault(key, (label, []))[1].append(row)
    return [Group(key, label, "", tuple(rows)) for key, (label, rows) in headings.items()]


def _age(moment: datetime, today: date) -> tuple[str, Phrase]:
    days = today - moment.astimezone().date()
    for most, key, label in AGES:
        if days <= timedelta(days=most):
            return key, label
    return OLDER
