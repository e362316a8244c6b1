"""An answer with everything in it, and a front's store of answers in Redis."""

from __future__ import annotations

from typing import Any

from appliance.domain import (
    ChoiceFinished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from appliance.gateway.redis_contact import Contact
from appliance.gateway.redis_store import RedisStore
from appliance.gateway.store import KeptAnswer

ANSWER = KeptAnswer(
    request_id="r",
    model="m",
    made_at=1000.5,
    events=(
        ReasoningDelta("hm"),
        TextDelta(
            "你好 🦊", logprobs=(TokenLogprob("你", -0.5, (228, 189), (TokenLogprob("a", -1),)),)
        ),
        ToolCallDelta(0, "id", "name", '{"a": 1}', choice=1),
        ChoiceFinished("tool_calls", 1),
    ),
    finish_reason="stop",
    usage=Usage(3, 4, 1, 2),
)


def store(contact: Contact, **changes: Any) -> RedisStore:
    options: dict[str, Any] = {"scope": "here", "seconds": 60, "max_bytes": 10_000}
    return RedisStore(contact, **(options | changes))
