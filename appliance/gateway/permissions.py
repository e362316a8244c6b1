"""What a caller's key allows: scope, models, assistants, and how long an answer may be."""

from __future__ import annotations

from dataclasses import replace

from appliance.domain import GenerationRequest
from appliance.engine.config import EngineFacts
from appliance.errors import InvalidRequest, PermissionDenied
from appliance.gateway.caller import Caller
from appliance.gateway.context import Origin


def shortened(request: GenerationRequest, caller: Caller, origin: Origin) -> GenerationRequest:
    """The request with the key's length for an answer, where it has none of its own.

    A page's own choice of a length is shortened too: its reader cannot change it.
    """
    wished, most = request.sampling.max_tokens, caller.max_tokens
    if most is None or (wished is not None and (wished <= most or not origin.is_page)):
        return request
    return replace(request, sampling=replace(request.sampling, max_tokens=most))


def check_permitted(
    request: GenerationRequest, caller: Caller, origin: Origin, facts: EngineFacts | None
) -> None:
    """Raises PermissionDenied for what the key does not open, InvalidRequest for more tokens than
    it allows."""
    if not caller.may("chat"):
        raise PermissionDenied(
            "The key %(name)s may not ask for answers. Ask the owner for the scope “chat”.",
            name=caller.name,
        )
    _check_model(request.adapter or (facts.model if facts else None), caller)
    _check_assistant(origin.assistant, caller)
    _check_length(request.sampling.max_tokens, caller)


def _check_model(model: str | None, caller: Caller) -> None:
    if caller.models is None or model is None:
        return
    if not _names(model) & {name for allowed in caller.models for name in _names(allowed)}:
        raise PermissionDenied(
            "The key %(name)s may not use the model %(model)s. It may use: %(allowed)s.",
            param="model",
            name=caller.name,
            model=model,
            allowed=", ".join(caller.models),
        )


def _names(model: str) -> set[str]:
    """With and without the hub's organisation."""
    return {model.lower(), model.lower().rpartition("/")[2]}


def _check_assistant(assistant: str | None, caller: Caller) -> None:
    if caller.assistants is None or assistant in caller.assistants:
        return
    raise PermissionDenied(
        "The key %(name)s works with these assistants only: %(allowed)s.",
        name=caller.name,
        allowed=", ".join(caller.assistants),
    )


def _check_length(wished: int | None, caller: Caller) -> None:
    if caller.max_tokens is not None and (wished is None or wished > caller.max_tokens):
        raise InvalidRequest(
            "max_tokens was %(wished)s; the key %(name)s allows at most %(most)s for an answer.",
            param="max_tokens",
            wished=wished,
            name=caller.name,
            most=caller.max_tokens,
        )
