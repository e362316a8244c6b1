"""An engine's refusal in our words; its status decides whose fault it is."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from appliance.domain import Constraint
from appliance.errors import (
    ApplianceError,
    ContextExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidRequest,
    KeyRefused,
    NotFound,
    UnsupportedParameter,
    WrongAddress,
)

RETRY_SECONDS = 5.0
SHOWN_CHARACTERS = 300
_SCHEMA = "response_format"
CALLERS_FAULT = (400, 409, 413, 422)
# What vLLM calls a prompt that is too long.
_VLLMS_PROMPT = "input_tokens"
# What llama.cpp's server calls it.
_LLAMAS_PROMPT = "exceed_context_size_error"


def refusal(status: int, body: bytes) -> ApplianceError:
    """What an answer with a status other than 2xx means."""
    return meaning(status, _error_of(body))


def meaning(status: int, error: dict[str, Any]) -> ApplianceError:
    """What OpenAI's error object means beside this status."""
    message = str(error.get("message") or error.get("detail") or f"status {status}")
    message = message[:SHOWN_CHARACTERS]
    if status in (401, 403):
        return KeyRefused("The engine refuses our key. Check --engine-key.")
    if status in (429, 503):
        return EngineUnavailable("%(reason)s", reason=message, retry_after=RETRY_SECONDS)
    if status == 404:
        return _not_there(error, message)
    if status not in CALLERS_FAULT:
        return EngineFailed("The engine failed: %(reason)s", reason=message)
    return _invalid(error, message)


def too_long(param: str | None, prompt_tokens: Any, max_tokens: Any, limit: Any) -> ContextExceeded:
    return ContextExceeded(
        "The prompt has %(prompt_tokens)s tokens and the answer may take %(max_tokens)s, "
        "but together they may be at most %(limit)s. Shorten the prompt or ask for less.",
        param=param,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        limit=limit,
    )


def as_asked(error: ApplianceError, constraint: Constraint | None) -> ApplianceError:
    """Names the form by the caller's word for it: on the wire, a schema is a `response_format`."""
    if constraint is not None and error.param is not None and error.param.startswith(_SCHEMA):
        error.param = constraint.field + error.param.removeprefix(_SCHEMA)
    return error


def _error_of(body: bytes) -> dict[str, Any]:
    try:
        raw = from_json(body)
    except ValueError:
        return {"message": body.decode(errors="replace").strip()}
    error = raw.get("error", raw) if isinstance(raw, dict) else raw
    return error if isinstance(error, dict) else {"message": str(error)}


def _not_there(error: dict[str, Any], message: str) -> ApplianceError:
    """A model that is not served is the caller's affair, a route that is missing is ours."""
    if error.get("param") == "model" or error.get("code") == "model_not_found":
        return NotFound("%(reason)s", reason=message, param="model")
    return WrongAddress(
        "The engine does not know what was asked of it (%(reason)s). Check --engine-url: it is "
        "the address of an OpenAI-compatible server and ends in /v1.",
        reason=message,
    )


def _invalid(error: dict[str, Any], message: str) -> InvalidRequest:
    code = str(error.get("code"))
    param = str(error["param"]) if error.get("param") else None
    if code == ContextExceeded.code and "limit" in error:
        told = (error.get("prompt_tokens"), error.get("max_tokens"), error["limit"])
        return too_long(param, *told)
    if param == _VLLMS_PROMPT:
        return ContextExceeded("%(reason)s", reason=message)
    if error.get("type") == _LLAMAS_PROMPT:
        numbers = {"prompt_tokens": error.get("n_prompt_tokens"), "limit": error.get("n_ctx")}
        return ContextExceeded("%(reason)s", reason=message, **numbers)
    kinds = {ContextExceeded.code: ContextExceeded, UnsupportedParameter.code: UnsupportedParameter}
    return kinds.get(code, InvalidRequest)("%(reason)s", reason=message, param=param)
