"""The words a scripted engine knows, and the chunks it answers them with.

say A B C      three chunks `A `, `B `, `C `, for each of the `n` choices
text …         the rest of the message, in one chunk
wait           one chunk, then nothing until `release` is set or the client leaves
die            one chunk, then the connection breaks
garbage        a line that is not JSON
nonsense X     the JSON X as a chunk
silent         ends without a finish reason
error          one chunk, then an error object in the stream
think          reasoning, then the answer
call NAME X    calls the tool NAME with the arguments X, in pieces
calls          two calls as careless servers send them: whole, without index, "stop" at the end
scored A B     tokens with log-probabilities, in the form of the route
bare A         contents that are null, no usage, no index, no [DONE]
"""

from __future__ import annotations

import json
from typing import Any

DONE = b"data: [DONE]\n\n"


def sse(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(choice: dict[str, Any]) -> bytes:
    return sse({"choices": [{"index": 0, **choice}]})


def delta(**fields: Any) -> bytes:
    return chunk({"delta": fields})


def end(word: str, rest: str, body: dict[str, Any]) -> list[bytes]:
    """Finish reasons, usage and the last line; nothing where the word forgets them."""
    if word == "silent":
        return []
    reason = {"call": "tool_calls"}.get(word, "stop")
    if word == "bare":
        return [sse({"choices": [{"finish_reason": reason}]})]
    choices = range(body.get("n") or 1)
    said = len(rest.split()) if word in ("say", "scored") else 1
    details = {"prompt_tokens_details": {"cached_tokens": 3}}
    if word == "think":
        details["completion_tokens_details"] = {"reasoning_tokens": 1}
    usage = {"prompt_tokens": 7, "completion_tokens": said * len(choices), **details}
    last = [chunk({"index": i, "delta": {}, "finish_reason": reason}) for i in choices]
    return [*last, sse({"choices": [], "usage": usage}), DONE]


def pieces(word: str, rest: str, body: dict[str, Any]) -> list[bytes]:
    """What comes before the end of the answer."""
    raw, choices = "prompt" in body, body.get("n") or 1
    match word:
        case "say":
            return [said(one + " ", raw, i) for one in rest.split() for i in range(choices)]
        case "text":
            return [said(rest, raw)]
        case "think":
            return [delta(reasoning_content="hm", reasoning="hm"), said("think ", raw)]
        case "call":
            return _call(*rest.split(" ", 1))
        case "calls":
            return [delta(tool_calls=[_whole_call("one"), _whole_call("two")])]
        case "scored":
            return [_scored(one + " ", raw) for one in rest.split()]
        case "bare":
            empty = {"content": None, "tool_calls": None, "reasoning": None}
            nothing = sse({"choices": [{"delta": empty, "logprobs": None}]})
            something = sse({"choices": [{"delta": {"content": rest}}], "usage": None})
            return [b": ping\r\n\r\n", nothing, something]
        case "nonsense":
            return [said("nonsense ", raw), b"data: " + rest.encode() + b"\n\n"]
        case _:
            return [said(word + " ", raw)]


def said(text: str, raw: bool, index: int = 0) -> bytes:
    return chunk({"index": index, **({"text": text} if raw else {"delta": {"content": text}})})


def _call(name: str, arguments: str) -> list[bytes]:
    first = {"index": 0, "id": "call_1", "type": "function"}
    half = len(arguments) // 2
    return [
        delta(tool_calls=[first | {"function": {"name": name, "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": arguments[:half]}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": arguments[half:]}}]),
    ]


def _whole_call(name: str) -> dict[str, Any]:
    return {"id": f"id-{name}", "function": {"name": name, "arguments": {"of": name}}}


def _scored(text: str, raw: bool) -> bytes:
    if raw:
        lists = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": [{text: -0.5}]}
        return chunk({"text": text, "logprobs": lists | {"text_offset": [0]}})
    token = {"token": text, "logprob": -0.5, "bytes": list(text.encode())}
    content = [token | {"top_logprobs": [token]}]
    return chunk({"delta": {"content": text}, "logprobs": {"content": content}})
