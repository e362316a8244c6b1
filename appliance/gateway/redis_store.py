"""Where several appliances keep answers and counts together: Redis, with bounded waiting.

Redis may be slow, empty, full or gone at any time: then an answer is computed, which is slower and
never wrong. What is too much there, Redis evicts by its own rule (`maxmemory-policy`).
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from appliance.domain import ChoiceFinished, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from appliance.gateway.redis_contact import Contact
from appliance.gateway.redis_turn import Turns
from appliance.gateway.store import KeptAnswer

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)
# The number is that of the format: another version of the appliance does not read ours.
PREFIX = "appliance:answer:1:"
TURN_PREFIX = "appliance:computing:1:"
KINDS = {
    "text": TextDelta,
    "thinking": ReasoningDelta,
    "call": ToolCallDelta,
    "finished": ChoiceFinished,
}
NAMES = {kind: name for name, kind in KINDS.items()}


class RedisStore:
    """Keeps answers of at most `max_bytes` each for `seconds`. Fulfils `AnswerStore`.

    `scope` tells apart what must not be mixed although it has the same key.
    """

    def __init__(self, contact: Contact, *, scope: str, seconds: int, max_bytes: int) -> None:
        from redis.asyncio import Redis

        self._redis: Redis = Redis(connection_pool=contact.pool)
        self._prefix = f"{PREFIX}{scope}:"
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._contact = contact
        self._turns = Turns(contact, f"{TURN_PREFIX}{scope}:")

    async def get(self, key: str) -> KeptAnswer | None:
        """The answer, unless it was forgotten, has grown too old or cannot be read."""
        found = await self._contact.ask(lambda: self._redis.get(self._prefix + key))
        if found is None:
            return None
        try:
            return decoded(found)
        except (ValueError, TypeError, KeyError):
            logger.warning("An answer in Redis is not one of ours, and is computed instead")
            return None

    @contextlib.asynccontextmanager
    async def first(self, key: str) -> AsyncIterator[KeptAnswer | None]:
        """Waits while another front computes it, and has its answer then."""
        async with self._turns.looks(key) as looks:
            async for ours in looks:
                # Also when the turn is ours: the other may have ended before it was.
                if (kept := await self.get(key)) or ours:
                    break
            yield kept

    async def put(self, key: str, answer: KeptAnswer) -> None:
        """Keep `answer`, in place of an older one, unless it is too large."""
        written = encoded(answer)
        if len(written) <= self._max_bytes:
            name = self._prefix + key
            await self._contact.ask(lambda: self._redis.set(name, written, ex=self._seconds))


def encoded(answer: KeptAnswer) -> bytes:
    """As JSON: what comes back from Redis must not be able to run anything."""
    whole = {
        "request_id": answer.request_id,
        "model": answer.model,
        "made_at": answer.made_at,
        "events": [[NAMES[type(event)], asdict(event)] for event in answer.events],
        "finish_reason": answer.finish_reason,
        "usage": asdict(answer.usage),
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def decoded(data: bytes | str) -> KeptAnswer:
    """Raises ValueError, TypeError or KeyError for what `encoded` has not written."""
    whole = json.loads(data)
    return KeptAnswer(
        request_id=str(whole["request_id"]),
        model=str(whole["model"]),
        made_at=float(whole["made_at"]),
        events=tuple(_reader(KINDS[name])(event) for name, event in whole["events"]),
        finish_reason=_reader(ChoiceFinished)(
            {"finish_reason": whole["finish_reason"]}
        ).finish_reason,
        usage=_reader(Usage)(whole["usage"]),
    )


@lru_cache
def _reader(kind: type[Any]) -> Callable[[Any], Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python
