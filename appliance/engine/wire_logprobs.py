"""Log-probabilities from OpenAI's two forms: by token in a chat, as parallel lists otherwise."""

from __future__ import annotations

from typing import Any

from appliance.domain import TokenLogprob


def read_logprobs(raw: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    """Raises TypeError, KeyError or AttributeError for what has neither form."""
    if not raw:
        return ()
    if raw.get("content") is not None:
        return tuple(_token(each) for each in raw["content"])
    if raw.get("tokens") is None:
        return ()
    likeliest = raw.get("top_logprobs") or [None] * len(raw["tokens"])
    rows = zip(raw["tokens"], raw["token_logprobs"], likeliest, strict=False)
    return tuple(
        # The first token of an echoed prompt has none.
        TokenLogprob(text, _number(logprob), _utf8(text), _by_text(top or {}))
        for text, logprob, top in rows
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _token(raw: dict[str, Any]) -> TokenLogprob:
    top = tuple(_token(each) for each in raw.get("top_logprobs") or ())
    given = raw.get("bytes")
    text = raw["token"]
    found = _utf8(text) if given is None else tuple(map(int, given))
    return TokenLogprob(text, float(raw["logprob"]), found, top)


def _by_text(top: dict[str, float]) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(text, float(value), _utf8(text)) for text, value in top.items())


def _utf8(text: str) -> tuple[int, ...]:
    return tuple(text.encode("utf-8", "surrogatepass"))
