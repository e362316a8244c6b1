"""Two weeks of a small team in the ledger: always the same, and always the last two."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from ulid import ULID

from appliance.domain import Timings, Usage
from appliance.engine.config import EngineFacts
from appliance.ledger.recorder import Recorder

CALLERS = ("anna", "anna", "anna", "ben", "ben", "home assistant", "nightly report", "owner")
ROUTES = ("/v1/chat/completions", "/v1/chat/completions", "/generate", "/chat", "/write", "/code")
ASKED = (
    "Summarise the meeting of Monday in three points.",
    "Translate this notice into English.",
    "Is the light in the hall still on?",
    "Which of these invoices are overdue?",
    "Why does this query take two seconds?",
    "A polite reminder to the supplier, please.",
)


def two_weeks(recorder: Recorder, facts: EngineFacts) -> None:
    """A few hundred requests, the last hour among them; a handful of failures and hits."""
    draw = random.Random(7)  # noqa: S311 - pictures, not secrets
    now = datetime.now(UTC)
    minutes = sorted(
        [draw.uniform(0, 60) for _ in range(90)] + [draw.uniform(60, 20_000) for _ in range(400)]
    )
    for before in reversed(minutes):
        _request(recorder, facts, draw, now - timedelta(minutes=before))


def _request(recorder: Recorder, facts: EngineFacts, draw: random.Random, at: datetime) -> None:
    request_id, generation_id = (str(ULID.from_datetime(at)) for _ in range(2))
    failed, tokens = draw.random() < 0.02, draw.randint(20, 600)
    took, waited = tokens * draw.uniform(24, 34), draw.expovariate(1 / 60)
    recorder.open_request(
        id=request_id,
        created_at=at,
        method="POST",
        path=draw.choice(ROUTES),
        client_ip=f"192.168.1.{draw.choice((31, 31, 44, 52))}",
        user_agent="OpenAI/Python 2.8.0",
    )
    recorder.open_generation(
        id=generation_id,
        request_id=request_id,
        model=facts.model,
        precision=facts.precision,
        engine=facts.backend,
        parameters={"temperature": 0.7, "max_tokens": 1024},
        input=[{"role": "user", "content": draw.choice(ASKED)}],
        dialect="openai",
    )
    recorder.close_generation(
        generation_id,
        output=None if failed else "Here it is, as short as it can be.",
        reasoning=None,
        usage=None if failed else Usage(draw.randint(30, 900), tokens, draw.choice((0, 0, 128))),
        timings=Timings(waited, waited + draw.uniform(90, 260), waited + took),
        finish_reason="error" if failed else "stop",
        error="The engine ran out of memory." if failed else None,
        joules=tokens * draw.uniform(2.6, 3.4),
    )
    recorder.close_request(
        request_id,
        status=503 if failed else 200,
        duration_ms=waited + took + 4,
        key_name=draw.choice(CALLERS),
        error="The engine ran out of memory." if failed else None,
    )
