"""Where complete answers are kept for a while: a small promise, and memory that fulfils it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from appliance.domain import (
    ChoiceFinished,
    Delta,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    Usage,
)

# What the interpreter spends on a small object and its place in a container, roughly.
OBJECT_BYTES = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """A complete answer, and the request that it was made for. `made_at`: seconds since 1970."""

    request_id: str
    model: str
    made_at: float
    events: tuple[Delta | ChoiceFinished, ...]
    finish_reason: FinishReason
    usage: Usage


class AnswerStore(Protocol):
    """Keeps answers by key. May forget any of them at any time; must not fail."""

    async def get(self, key: str) -> KeptAnswer | None:
        """The answer, unless it was forgotten or has grown too old."""
        ...

    async def put(self, key: str, answer: KeptAnswer) -> None:
        """Keep `answer`, in place of an older one."""
        ...

    def first(self, key: str) -> AbstractAsyncContextManager[KeptAnswer | None]:
        """Inside, nobody else computes what `key` stands for; the answer where there is one."""
        ...


class MemoryStore:
    """Keeps answers in this process: each `seconds` long, all together at most `max_bytes`.

    All live equally long, so the oldest are the first to be dropped for either reason.
    """

    def __init__(
        self, *, seconds: float, max_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: dict[str, tuple[KeptAnswer, int]] = {}
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: str) -> KeptAnswer | None:
        self._drop_old()
        found = self._kept.get(key)
        return found[0] if found else None

    @contextlib.asynccontextmanager
    async def first(self, key: str) -> AsyncIterator[KeptAnswer | None]:
        """At once: who else asks in this process follows the work that is under way."""
        yield await self.get(key)

    async def put(self, key: str, answer: KeptAnswer) -> None:
        self._drop(key)
        size = OBJECT_BYTES + sys.getsizeof(key) + _size(answer)
        if size > self._max_bytes:
            return
        self._kept[key] = (answer, size)
        self.used_bytes += size
        self._drop_old()
        while self.used_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop_old(self) -> None:
        limit = self._clock() - self._seconds
        while self._kept:
            key, (oldest, _) = next(iter(self._kept.items()))
            if oldest.made_at > limit:
                return
            self._drop(key)

    def _drop(self, key: str) -> None:
        _, size = self._kept.pop(key, (None, 0))
        self.used_bytes -= size


def _size(answer: KeptAnswer) -> int:
    """Bytes in memory, roughly and rather too many."""
    return 4 * OBJECT_BYTES + sum(_event_size(event) for event in answer.events)


def _event_size(event: Delta | ChoiceFinished) -> int:
    match event:
        case TextDelta(text, logprobs=logprobs):
            return OBJECT_BYTES + sys.getsizeof(text) + sum(map(_logprob_size, logprobs))
        case ReasoningDelta(text):
            return OBJECT_BYTES + sys.getsizeof(text)
        case ChoiceFinished():
            return OBJECT_BYTES
        case call:
            texts = (call.id or "", call.name or "", call.arguments)
            return OBJECT_BYTES + sum(map(sys.getsizeof, texts))


def _logprob_size(entry: TokenLogprob) -> int:
    own = OBJECT_BYTES + sys.getsizeof(entry.text) + sys.getsizeof(entry.bytes)
    return own + sum(map(_logprob_size, entry.top))
