"""OpenAI's JSON of the completions route."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from appliance.domain import TokenLogprob
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.wire import Dialect, WholeChoice


def likeliest(token: TokenLogprob) -> dict[str, float | None] | None:
    """By their texts; of the first token of a prompt none."""
    if token.logprob is None:
        return None
    return {other.text: other.logprob for other in token.top}


class CompletionDialect(Dialect):
    prefix = "cmpl"
    chunk_kind = whole_kind = "text_completion"

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._offsets: defaultdict[int, int] = defaultdict(int)

    def first(self, index: int) -> bytes:
        return b""

    def choice(self, index: int, parts: Parts, finish_reason: str | None) -> dict[str, Any]:
        return {"index": index, "text": parts.text, "finish_reason": finish_reason}

    def logprobs(self, index: int, parts: Parts) -> dict[str, Any]:
        offset, offsets = self._offsets[index], []
        for token in parts.logprobs:
            offsets.append(offset)
            offset += len(token.text)
        self._offsets[index] += len(parts.text)
        return {
            "tokens": [token.text for token in parts.logprobs],
            "token_logprobs": [token.logprob for token in parts.logprobs],
            "top_logprobs": [likeliest(token) for token in parts.logprobs],
            "text_offset": offsets,
        }

    def whole_choice(self, choice: WholeChoice) -> dict[str, Any]:
        scored = self.logprobs(choice.index, choice.parts) if choice.parts.logprobs else None
        answer = self.choice(choice.index, choice.parts, choice.finish_reason)
        return answer | {"logprobs": scored}
