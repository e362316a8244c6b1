"""Log-probabilities in OpenAI's two forms: by token in a chat, as parallel lists otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.domain import TokenLogprob


def chat_logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    return {"content": [{**_one(each), "top_logprobs": _all(each.top)} for each in tokens]}


def completion_logprobs(tokens: Iterable[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """`offset` is how many characters of the answer were there before."""
    tokens = list(tokens)
    offsets = []
    for each in tokens:
        offsets.append(offset)
        offset += len(each.text)
    return {
        "tokens": [each.text for each in tokens],
        "token_logprobs": [each.logprob for each in tokens],
        "top_logprobs": [_by_text(each) for each in tokens],
        "text_offset": offsets,
    }


def _by_text(token: TokenLogprob) -> dict[str, float | None] | None:
    """Of the first token of a prompt none."""
    if token.logprob is None:
        return None
    return {top.text: top.logprob for top in token.top}


def _all(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    return [_one(each) for each in tokens]


def _one(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}
