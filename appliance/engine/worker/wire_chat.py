"""OpenAI's JSON of the chat route."""

from __future__ import annotations

import json
from typing import Any

from appliance.domain import TokenLogprob
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.tools import CallPiece
from appliance.engine.worker.wire import PLACE, Dialect, WholeChoice, sse


class ChatDialect(Dialect):
    prefix = "chatcmpl"
    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def __init__(self, model: str) -> None:
        super().__init__(model)
        # Around the arguments of the call that each choice is writing.
        self._arguments: dict[int, list[bytes]] = {}

    def first(self, index: int) -> bytes:
        return self._event(index, {"role": "assistant", "content": ""})

    def choice(self, index: int, parts: Parts, finish_reason: str | None) -> dict[str, Any]:
        delta: dict[str, str] = {}
        if parts.reasoning:
            # Both names are in use: vLLM's and DeepSeek's.
            delta |= {"reasoning": parts.reasoning, "reasoning_content": parts.reasoning}
        if parts.text:
            delta["content"] = parts.text
        return {"index": index, "delta": delta, "finish_reason": finish_reason}

    def call_deltas(self, index: int, parts: Parts) -> bytes:
        return b"".join(self._call_delta(index, piece) for piece in parts.calls)

    def logprobs(self, index: int, parts: Parts) -> dict[str, Any]:
        return {"content": [_entry(token) for token in parts.logprobs]}

    def whole_choice(self, choice: WholeChoice) -> dict[str, Any]:
        reasoning, text, pieces, logprobs = choice.parts
        calls = whole_calls(pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text or None if calls else text}
        if reasoning:
            message |= {"reasoning": reasoning, "reasoning_content": reasoning}
        if calls:
            message["tool_calls"] = calls
        return {
            "index": choice.index,
            "message": message,
            "logprobs": self.logprobs(choice.index, choice.parts) if logprobs else None,
            "finish_reason": choice.finish_reason,
        }

    def _call_delta(self, index: int, piece: CallPiece) -> bytes:
        if piece.name is not None:
            self._arguments[index] = self.around_place(
                self._calling(index, {"index": piece.number, "function": {"arguments": PLACE}})
            )
            function = {"name": piece.name, "arguments": ""}
            card = {"index": piece.number, "id": piece.id, "type": "function", "function": function}
            return sse(self._chunk([self._calling(index, card)]))
        if not piece.arguments:
            return b""
        return json.dumps(piece.arguments).encode().join(self._arguments[index])

    def _calling(self, index: int, card: dict[str, Any]) -> dict[str, Any]:
        return {"index": index, "delta": {"tool_calls": [card]}, "finish_reason": None}

    def _event(self, index: int, delta: dict[str, Any]) -> bytes:
        return sse(self._chunk([{"index": index, "delta": delta, "finish_reason": None}]))


def whole_calls(pieces: tuple[CallPiece, ...]) -> list[dict[str, Any]]:
    """Calls put together; one that turned out to be none stands in the text instead."""
    calls: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        if piece.broken:
            del calls[piece.number]
        elif piece.name is not None:
            function = {"name": piece.name, "arguments": ""}
            calls[piece.number] = {"id": piece.id, "type": "function", "function": function}
        else:
            calls[piece.number]["function"]["arguments"] += piece.arguments
    return list(calls.values())


def _entry(token: TokenLogprob) -> dict[str, Any]:
    return _named(token) | {"top_logprobs": [_named(other) for other in token.top]}


def _named(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}
