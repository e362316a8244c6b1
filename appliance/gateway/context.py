"""What a generation belongs to: said by whoever asks, written down in its row."""

from __future__ import annotations

from dataclasses import dataclass

PAGE_DIALECTS = frozenset({"chat", "write", "code", "assistant"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a wish for tokens comes from. Every field is optional and only a note.

    `dialect` is the form in which it was asked: "chat", "write", "code", "generate", "openai",
    "replay". `conversation_id` and `assistant` (its name) are those of the chat it belongs to,
    `replay_of` is the id of the generation that is run again. `keep_content` false: neither
    texts nor calls are recorded, whatever the settings say (a temporary chat).
    """

    dialect: str | None = None
    conversation_id: str | None = None
    assistant: str | None = None
    replay_of: str | None = None
    keep_content: bool = True

    @property
    def is_page(self) -> bool:
        """Whether a person waits for it in front of a page of ours."""
        return self.dialect in PAGE_DIALECTS


UNNAMED = Origin()
