"""What a server says on `/v1/models`, told apart from everything that is no such answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from appliance.domain import Phrase

# vLLM and we, OpenRouter, LM Studio, llama.cpp's server: the same number by many names.
CONTEXT_FIELDS = ("max_model_len", "context_length", "loaded_context_length", "n_ctx")

TroubleKind = Literal["gone", "slow", "loading", "key", "error", "garbage"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the server cannot be used now."""

    kind: TroubleKind
    reason: Phrase


@dataclass(frozen=True, slots=True)
class Listing:
    """The models that a server lists, in its order."""

    entries: tuple[dict[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(entry["id"]) for entry in self.entries)

    def context_of(self, model: str) -> int:
        """Tokens that the model reads; 0 when the server does not say."""
        entry = next((one for one in self.entries if one["id"] == model), {})
        meta = entry.get("meta")
        known = entry | meta if isinstance(meta, dict) else entry
        found = (known.get(name) for name in CONTEXT_FIELDS)
        return next((n for n in found if isinstance(n, int) and n > 0), 0)

    def adapters_of(self, model: str) -> tuple[str, ...]:
        """Names that the server says are adapters of this model."""
        return tuple(str(one["id"]) for one in self.entries if one.get("parent") == model)


Answer = Listing | Trouble


def read(url: str, status: int, body: bytes) -> Answer:
    """The listing, or in which way this answer is none."""
    if status in (401, 403):
        sentence = "The engine at %(url)s refuses our key. Check --engine-key."
        return Trouble("key", Phrase(sentence, {"url": url}))
    values = {"url": url, "status": status, "said": _excerpt(body)}
    if status == 503:
        sentence = "The engine at %(url)s is not ready yet: %(said)s"
        return Trouble("loading", Phrase(sentence, values))
    if status != 200:
        sentence = "The engine at %(url)s answers with status %(status)s: %(said)s"
        return Trouble("error", Phrase(sentence, values))
    entries = _entries(body)
    if entries is None:
        sentence = (
            "What answers at %(url)s is no OpenAI-compatible server: %(said)s "
            "Check --engine-url; it usually ends in /v1."
        )
        return Trouble("garbage", Phrase(sentence, values))
    return Listing(entries)


def _entries(body: bytes) -> tuple[dict[str, Any], ...] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    listed = value.get("data") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return None
    good = all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in listed)
    return tuple(listed) if good else None


def _excerpt(body: bytes) -> str:
    return " ".join(body[:200].decode(errors="replace").split()) or "–"
