"""The only way to an engine: OpenAI's wire in, our events out.

It knows a URL, a key and a model name, and nothing of what answers there. Closing the stream
closes the connection, which cancels the work in the engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic_core import from_json

from appliance.domain import (
    FinishReason,
    GenerationRequest,
    ReasoningDelta,
    Sampling,
    TextDelta,
    Usage,
)
from appliance.engine.config import Endpoint
from appliance.errors import (
    ApplianceError,
    ContextExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidRequest,
    UnsupportedParameter,
)

# Between two bytes, not for the whole answer: a long prompt on a slow processor is silent for long.
SILENCE_SECONDS = 600.0
MAX_LINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Accepted:
    """The engine has taken the work; everything that can be refused has been."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The engine's last word."""

    finish_reason: FinishReason
    usage: Usage


EngineEvent = Accepted | TextDelta | ReasoningDelta | Completed


def http_client() -> httpx2.AsyncClient:
    """A client for loopback and LAN engines: no proxy from the environment, no hidden limit."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(SILENCE_SECONDS, connect=5.0),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
        trust_env=False,
    )


class EngineClient:
    """Streams one generation at a time from an `Endpoint`; safe for any number at once."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def stream(
        self, endpoint: Endpoint, request: GenerationRequest
    ) -> AsyncGenerator[EngineEvent, None]:
        """Yield `Accepted`, deltas, then `Completed`.

        Raises InvalidRequest or EngineUnavailable before `Accepted`, EngineFailed at any time.
        """
        path, body = _body(endpoint.model, request)
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        accepted = False
        try:
            async with self._http.stream(
                "POST", endpoint.url + path, json=body, headers=headers
            ) as response:
                if response.status_code != 200:
                    raise _refusal(response, await response.aread())
                accepted = True
                yield Accepted()
                async for event in _events(_data_lines(response)):
                    yield event
        except httpx2.HTTPError as error:
            if accepted:
                raise EngineFailed(
                    "The engine stopped in the middle of the answer. It is being restarted; "
                    "please ask again."
                ) from error
            raise EngineUnavailable("The engine does not answer.", retry_after=5) from error


def _body(model: str, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling_fields(request.sampling),
    }
    if isinstance(request.prompt, str):
        return "/completions", body | {"prompt": request.prompt}
    body["messages"] = [{"role": m.role, "content": m.content} for m in request.prompt]
    if request.enable_thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": request.enable_thinking}
    return "/chat/completions", body


def _sampling_fields(sampling: Sampling) -> dict[str, Any]:
    fields = {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}
    fields["stop"] = list(sampling.stop) or None
    return {name: value for name, value in fields.items() if value is not None}


async def _data_lines(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The payloads of an SSE stream. Only `data:` matters on this wire; comments are pings."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
        if len(rest) > MAX_LINE_BYTES:
            raise _nonsense("a line without an end")


async def _events(payloads: AsyncIterator[bytes]) -> AsyncIterator[EngineEvent]:
    finish_reason: str | None = None
    usage = Usage(0, 0)
    async for payload in payloads:
        if payload == b"[DONE]":
            break
        chunk = _object(payload)
        if error := chunk.get("error"):
            raise EngineFailed("The engine failed: %(reason)s", reason=_message(error))
        if chunk.get("usage"):
            usage = _usage(chunk["usage"])
        for choice in chunk.get("choices") or ():
            for event in _deltas(choice):
                yield event
            finish_reason = choice.get("finish_reason") or finish_reason
    if finish_reason is None:
        raise EngineFailed("The engine ended the answer without saying why. Please ask again.")
    yield Completed("length" if finish_reason == "length" else "stop", usage)


def _deltas(choice: dict[str, Any]) -> list[TextDelta | ReasoningDelta]:
    delta = choice.get("delta") or {}
    events: list[TextDelta | ReasoningDelta] = []
    if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
        events.append(ReasoningDelta(reasoning))
    if text := delta.get("content") or choice.get("text"):
        events.append(TextDelta(text))
    return events


def _usage(raw: dict[str, Any]) -> Usage:
    details = raw.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=raw.get("prompt_tokens") or 0,
        completion_tokens=raw.get("completion_tokens") or 0,
        cached_tokens=details.get("cached_tokens") or 0,
    )


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = from_json(payload)
    except ValueError:
        raise _nonsense(payload[:80].decode(errors="replace")) from None
    if not isinstance(value, dict):
        raise _nonsense(payload[:80].decode(errors="replace"))
    return value


def _nonsense(what: str) -> EngineFailed:
    return EngineFailed("The engine sent something that is not OpenAI's wire: %(what)s", what=what)


def _message(error: object) -> str:
    return str(error.get("message") if isinstance(error, dict) else error)


def _refusal(response: httpx2.Response, body: bytes) -> ApplianceError:
    """The engine's refusal in our words; its status decides whose fault it is."""
    try:
        raw = from_json(body)
    except ValueError:
        raw = None
    found = raw.get("error", raw) if isinstance(raw, dict) else None
    error: dict[str, Any] = (
        found if isinstance(found, dict) else {"message": body[:200].decode(errors="replace")}
    )
    status, message = response.status_code, _message(error)
    if status in (401, 403):
        return EngineFailed("The engine refuses our key. Check --engine-key.")
    if status in (429, 503):
        return EngineUnavailable("%(reason)s", reason=message, retry_after=5)
    if status not in (400, 404, 413, 422):
        return EngineFailed("The engine failed: %(reason)s", reason=message)
    return _invalid(error, message)


def _invalid(error: dict[str, Any], message: str) -> InvalidRequest:
    param, code = error.get("param"), error.get("code")
    if code == ContextExceeded.code and "limit" in error:
        return ContextExceeded(
            "The prompt has %(prompt_tokens)s tokens and the answer may take %(max_tokens)s, "
            "but together they may be at most %(limit)s. Shorten the prompt or ask for less.",
            param=param,
            prompt_tokens=error.get("prompt_tokens"),
            max_tokens=error.get("max_tokens"),
            limit=error["limit"],
        )
    kinds = {ContextExceeded.code: ContextExceeded, UnsupportedParameter.code: UnsupportedParameter}
    return kinds.get(str(code), InvalidRequest)("%(reason)s", reason=message, param=param)
