"""A chat as a file that people keep: Markdown to read, JSON to bring in again."""

from __future__ import annotations

import json
import re
from typing import Any

from appliance.ledger.tables_chat import ConversationMessage
from appliance.ledger.views import ConversationDetail
from appliance.web.chat_tree import branch
from appliance.web.page import OpenPage

FORMAT = "appliance-chat"
VERSION = 1
MAX_NAME_LENGTH = 60
SETTINGS = ("system_prompt", "sampling", "thinking", "thinking_budget", "assistant", "folder")
MESSAGE = ("role", "content", "reasoning", "status", "thinking_ms", "completion_tokens")
_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')


def as_markdown(page: OpenPage, found: ConversationDetail) -> str:
    """The branch that is shown, with headings in the reader's language; thoughts left out."""
    parts = [f"# {found.conversation.title or page.gettext('Untitled')}"]
    for message in branch(found.messages, found.conversation.current_id):
        who = page.gettext("You") if message.role == "user" else page.gettext("Answer")
        parts += [f"## {who}", message.content]
    return "\n\n".join(parts) + "\n"


def as_json(found: ConversationDetail) -> str:
    """Every branch and every setting, so that nothing is lost on the way back."""
    conversation = found.conversation
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "title": conversation.title,
        "created_at": conversation.created_at.isoformat(),
        "current": conversation.current_id,
        "settings": _given({name: getattr(conversation, name) for name in SETTINGS}),
        "messages": [_message(message) for message in found.messages],
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def file_name(found: ConversationDetail) -> str:
    """The title without what file systems refuse."""
    name = _UNSAFE.sub(" ", found.conversation.title)[:MAX_NAME_LENGTH].strip(" .")
    return name or "chat"


def _message(message: ConversationMessage) -> dict[str, Any]:
    kept = {name: getattr(message, name) for name in MESSAGE}
    place = {"id": message.id, "parent": message.parent_id}
    return place | _given(kept | {"created_at": message.created_at.isoformat()})


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, {})}
