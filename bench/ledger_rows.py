"""Invented requests, the same for the same seed: chats that grow, single questions, agents, visits.

Words and signs are as unequally frequent as in real texts, in English and in Chinese: what a
search costs depends on that. Knows the tables, and no database.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ulid import ULID

from appliance.ledger.columns import readable_json
from appliance.ledger.search import input_text, output_text

SPREAD = timedelta(days=90)
AT_ONCE = 5000
LONGEST_CHAT = 12
VOCABULARY = 30_000
HANZI = 3000
POOL = 2_000_000
VOWELS = ("a", "e", "i", "o", "u", "en", "st")
SYLLABLES = tuple(a + b for a in "bcdfghjklmnprstvwz" for b in VOWELS)
KEYS = [f"key-{number}" for number in range(20)]
RARE_KEY, RARE_MODEL, RARE_ADDRESS = "rare-key", "rare/model", "10.9.9.9"
MODELS = ["Qwen/Qwen3-8B"] * 9 + ["Qwen/Qwen3-4B"]
DIALECTS = {"openai": "/v1/chat/completions", "chat": "/chat/ask", "generate": "/generate"}
PARAMETERS = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "max_tokens": 512}
FIXED: dict[str, Any] = {
    "precision": "int8", "engine": "transformers", "parameters": json.dumps(PARAMETERS),
    "prompt_tokens": 300, "cached_tokens": 40, "completion_tokens": 120, "queue_ms": 1.0,
    "engine_version": "5.14.1", "queue_place": 0, "tpot_ms": 25.0, "input_bytes": 400,
    "output_bytes": 800, "model_hash": hashlib.sha256(b"weights").hexdigest(),
}  # fmt: skip
# In the order in which they can be inserted.
TABLES = ("request", "part", "turn", "generation_row", "searched", "feedback")
TOOLS = [
    {"name": f"tool_{n}", "description": "What it is good for. " * 40, "parameters": {"n": n}}
    for n in range(24)
]

Row = dict[str, Any]
Rows = dict[str, list[Row]]


class Texts:
    """Texts cut from two long ones, since making each word anew would take hours."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)  # noqa: S311 - nothing here is secret
        words = ["".join(self.random.choices(SYLLABLES, k=3)) for _ in range(VOCABULARY)]
        signs = [chr(0x4E00 + n * 5) for n in range(HANZI)]
        self.words = self._draw(words, POOL // 8)
        self.english, self.chinese = " ".join(self.words), "".join(self._draw(signs, POOL // 2))

    def _draw(self, things: list[str], number: int) -> list[str]:
        """The second most frequent half as often as the first, and so on."""
        weights = [1 / rank for rank in range(1, len(things) + 1)]
        return self.random.choices(things, weights, k=number)

    def text(self, least: int, most: int) -> str:
        """Of so many signs; in English four times as many letters, which say as much."""
        size = self.random.randint(least, most)
        pool = self.chinese if self.random.random() < 0.4 else self.english
        size = size if pool is self.chinese else 4 * size
        start = self.random.randrange(len(pool) - size)
        return pool[start : start + size]

    def piece(self, pool: str, size: int) -> str:
        """So many characters that stand somewhere in `pool`."""
        start = self.random.randrange(len(pool) - size)
        return pool[start : start + size]


@dataclass
class Chat:
    """What has been said so far; `turn_id` and `hash` are those of the last turn."""

    said: list[Row] = field(default_factory=list)
    turn_id: int = 0
    hash: bytes = b""


class Invented:
    """Rows by table, `AT_ONCE` requests at a time; ids of parts, turns and texts count from 1."""

    def __init__(self, texts: Texts, requests: int) -> None:
        self.texts, self.random, self.requests = texts, texts.random, requests
        self._ids = {name: itertools.count(1) for name in ("part", "turn", "searched")}
        self._rows: Rows = {name: [] for name in TABLES}
        self._tools_id = self._part(TOOLS)["id"]
        self._begun = self._say(Chat(), "system", "You are a helpful assistant.")
        self._chat = self._begun

    def batches(self) -> Iterator[Rows]:
        begin = datetime.now(UTC) - SPREAD
        for number in range(self.requests):
            self._one(begin + SPREAD * (number / self.requests), rare=number % 20_000 == 7)
            if number % AT_ONCE == AT_ONCE - 1:
                yield self._rows
                self._rows = {name: [] for name in TABLES}
        yield self._rows

    def _one(self, moment: datetime, *, rare: bool) -> None:
        dialect = self.random.choice(list(DIALECTS))
        failed, visit = self.random.random() < 0.01, self.random.random() < 0.1 and not rare
        request = {
            "id": str(ULID.from_datetime(moment)),
            "created_at": moment,
            "method": "GET" if visit else "POST",
            "path": "/status" if visit else DIALECTS[dialect],
            "status": 503 if failed else 200,
            "duration_ms": round(self.random.expovariate(1 / 3000), 1),
            "client_ip": RARE_ADDRESS if rare else f"10.0.0.{self.random.randrange(50)}",
            "key_name": RARE_KEY if rare else self.random.choice(KEYS),
            "user_agent": "OpenAI/Python 2.8.0",
            "log_content": None if visit else "full",
        }
        self._rows["request"].append(request)
        if not visit:
            model = RARE_MODEL if rare else self.random.choice(MODELS)
            self._generation(request, dialect, model, failed=failed)
            self._opinion(request)

    def _generation(self, request: Row, dialect: str, model: str, *, failed: bool) -> None:
        self._ask(str(request["id"]))
        output = self.texts.text(40, 300)
        reasoning = self.texts.text(40, 300) if self.random.random() < 0.2 else None
        row = FIXED | {
            "id": str(ULID.from_datetime(request["created_at"])),
            "request_id": request["id"],
            "model": model,
            "output": output,
            "reasoning": reasoning,
            "ttft_ms": round(request["duration_ms"] / 10, 1),
            "duration_ms": request["duration_ms"],
            "finish_reason": "error" if failed else "stop",
            "error": "The engine died." if failed else None,
            "dialect": dialect,
            "seed": self.random.getrandbits(53),
            "trace_id": f"{self.random.getrandbits(128):032x}",
            "turn_id": self._chat.turn_id,
            "tools_id": self._tools_id if self.random.random() < 0.05 else None,
        }
        self._rows["generation_row"].append(row)
        for found in (input_text(self._chat.said), output_text(output, reasoning)):
            text = {"id": next(self._ids["searched"]), "request_id": request["id"], "text": found}
            self._rows["searched"].append(text)
        self._answer = output

    def _opinion(self, request: Row) -> None:
        if self.random.random() < 0.005:
            opinion = {"id": str(ULID()), "request_id": request["id"], "by": "owner"}
            rating = 1 if self.random.random() < 0.7 else -1
            opinion |= {"rating": rating, "created_at": request["created_at"]}
            self._rows["feedback"].append(opinion)

    def _ask(self, mark: str) -> None:
        """One question more, in a new chat or in the last one. `mark` makes it like no other."""
        asked = len(self._chat.said) // 2
        if asked == 0 or asked == LONGEST_CHAT or self.random.random() < 0.5:
            self._chat = self._begun
        else:
            self._chat = self._say(self._chat, "assistant", f"{self._answer} {mark}")
        self._chat = self._say(self._chat, "user", f"{self.texts.text(12, 120)} {mark}")

    def _say(self, chat: Chat, role: str, content: str) -> Chat:
        said = {"role": role, "content": content}
        part = self._part(said)
        turn = {"id": next(self._ids["turn"]), "parent_id": chat.turn_id, "part_id": part["id"]}
        turn["hash"] = _digest(chat.hash + part["hash"])
        self._rows["turn"].append(turn)
        return Chat([*chat.said, said], turn["id"], turn["hash"])

    def _part(self, content: Any) -> Row:
        written = readable_json(content)
        row = {"id": next(self._ids["part"]), "hash": _digest(written.encode())}
        self._rows["part"].append(row | {"content": written})
        return row


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]
