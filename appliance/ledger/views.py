"""What the queries answer with: values that hold no session and no connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.ledger.tables import GenerationRecord, RequestRecord
from appliance.ledger.tables_chat import Conversation, ConversationMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow:
    """A generation in a list: texts are cut to `EXCERPT_CHARACTERS`.

    `input_excerpt` is the beginning of the prompt, or of the last message of a chat.
    """

    id: str
    request_id: str
    model: str
    precision: str
    engine: str
    input_excerpt: str | None
    output_excerpt: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    queue_ms: float | None
    ttft_ms: float | None
    duration_ms: float | None
    finish_reason: str | None
    error: str | None
    cached_from: str | None
    replay_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request in a list. `status` is None while it is being answered."""

    id: str
    created_at: datetime
    method: str
    path: str
    status: int | None
    duration_ms: float | None
    client_ip: str | None
    key_name: str | None
    user_agent: str | None
    error: str | None
    client_request_id: str | None
    generations: tuple[GenerationRow, ...]

    @property
    def generation(self) -> GenerationRow | None:
        """The first generation; nearly every request has one or none."""
        return self.generations[0] if self.generations else None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Newest first. `next_before` asks for the page after this one; None at the end."""

    rows: tuple[RequestRow, ...]
    next_before: str | None


@dataclass(frozen=True, slots=True)
class RequestDetail:
    """One request whole, with every text uncut."""

    request: RequestRecord
    generations: tuple[GenerationRecord, ...]

    @property
    def generation(self) -> GenerationRecord | None:
        return self.generations[0] if self.generations else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteBucket:
    """The generations whose requests arrived within one minute.

    The percentiles are of the duration of those that are finished, by nearest rank; None
    where there are none.
    """

    minute: datetime
    requests: int
    completion_tokens: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Everything the ledger holds, counted. `failed` are generations that broke off."""

    since: datetime | None
    requests: int
    generations: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """A conversation in a list."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    folder: str | None = None
    pinned: bool | None = None


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Most recently used first. `next_before` asks for the page after this one."""

    rows: tuple[ConversationRow, ...]
    next_before: str | None


@dataclass(frozen=True, slots=True)
class ConversationDetail:
    """One conversation with all its messages, of every branch, oldest first."""

    conversation: Conversation
    messages: tuple[ConversationMessage, ...]
