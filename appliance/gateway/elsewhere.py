"""Asking another OpenAI-compatible server, for a comparison; the row says that it was not ours.

It takes no place in the queue: the engine here has no part in it. What is asked says by its `Via`
that somebody else stands behind it, so that no appliance, this one too, takes it for its owner's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Event,
    Finished,
    GenerationRequest,
)
from appliance.engine.client import Accepted, Completed, EngineClient, EngineEvent
from appliance.engine.config import Endpoint
from appliance.errors import EngineFailed, InvalidRequest, KeyRefused, WrongAddress
from appliance.gateway.account import Account, written_input
from appliance.gateway.caller import Caller
from appliance.gateway.context import UNNAMED, Origin
from appliance.gateway.revocation import Revocations
from appliance.gateway.terms import parameters, written_form, written_tools
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder

# What proxies say of themselves (RFC 9110, 7.6.3).
FORWARDED = {"via": "1.1 appliance"}


class Elsewhere:
    """Runs generations at any URL; `at` says where. `revocations` ends them with their keys."""

    def __init__(
        self, client: EngineClient, log: Recorder, revocations: Revocations, *, keep_content: bool
    ) -> None:
        self._client = client
        self._log = log
        self._revocations = revocations
        self._keep_content = keep_content

    def at(self, url: str, key: str | None, model: str | None) -> There:
        """A way to one server. Raises InvalidRequest for what is not an HTTP address."""
        if not _is_plain(url):
            raise InvalidRequest(
                "An engine's address begins with http:// or https:// and ends in /v1.", param="url"
            )
        base = url.rstrip("/")
        base = base if base.endswith("/v1") else f"{base}/v1"
        endpoint = Endpoint(base, key, model or "default")
        return There(self._client, self._log, self._revocations, endpoint, self._keep_content)


class There:
    """One server elsewhere, with the gateway's promises for `run`."""

    def __init__(
        self,
        client: EngineClient,
        log: Recorder,
        revocations: Revocations,
        endpoint: Endpoint,
        keep_content: bool,
    ) -> None:
        self._client = client
        self._log = log
        self._revocations = revocations
        self._endpoint = endpoint
        self._keep_content = keep_content

    async def run(
        self,
        request: GenerationRequest,
        caller: Caller,
        *,
        request_id: str,
        origin: Origin = UNNAMED,
    ) -> AsyncGenerator[Event, None]:
        """Yield `Admitted`, deltas and a `ChoiceFinished` for each choice, `Finished`."""
        keep = self._keep_content and caller.log_content == "full" and origin.keep_content
        generation_id, account = new_id(), Account(request.choices)
        self._open(generation_id, request_id, request, origin, keep)
        asked = self._client.stream(self._endpoint, request, headers=FORWARDED)
        try:
            with self._revocations.watched(caller.credential) as interrupt, interrupt.raised():
                async with aclosing(asked) as events:
                    interrupt.enter()
                    async for event in events:
                        told = self._told(generation_id, account, event)
                        interrupt.leave()
                        yield told
                        interrupt.enter()
        except Exception as error:
            ours = _about_there(error, self._endpoint)
            account.finish_reason, account.error = "error", str(ours or error)
            if ours is not None:
                raise ours from error
            raise
        finally:
            self._close(generation_id, account, keep)

    def _told(self, generation_id: str, account: Account, event: EngineEvent) -> Event:
        match event:
            case Accepted():
                return Admitted(generation_id, self._endpoint.model, 0.0)
            case Completed(finish_reason, usage):
                account.finish_reason, account.usage = finish_reason, usage
                return Finished(finish_reason, usage, account.timings())
            case ChoiceFinished():
                return event
            case _:
                account.take(event)
                return event

    def _open(
        self,
        generation_id: str,
        request_id: str,
        request: GenerationRequest,
        origin: Origin,
        keep: bool,
    ) -> None:
        self._log.open_generation(
            id=generation_id,
            request_id=request_id,
            model=self._endpoint.model,
            precision="",
            engine=self._endpoint.url,
            parameters=parameters(request),
            input=written_input(request) if keep else None,
            tools=written_tools(request) if keep else None,
            form=written_form(request) if keep else None,
            dialect=origin.dialect,
            replay_of=origin.replay_of,
            seed=request.sampling.seed,
        )

    def _close(self, generation_id: str, account: Account, keep: bool) -> None:
        self._log.close_generation(
            generation_id,
            output=account.output() if keep else None,
            reasoning=account.reasoning() if keep else None,
            tool_calls=account.tool_calls() if keep else None,
            usage=account.usage,
            timings=account.timings(),
            finish_reason=account.finish_reason,
            error=account.error,
        )


def _about_there(error: Exception, endpoint: Endpoint) -> EngineFailed | None:
    """In other words what the engine's client says of our settings: here key and address came
    with the request. None for what needs no others."""
    match error:
        case KeyRefused() if endpoint.key:
            return KeyRefused("The other server refuses the key that was given for it.")
        case KeyRefused():
            return KeyRefused("The other server wants a key, and none was given for it.")
        case WrongAddress():
            return WrongAddress(
                "The other server does not know what was asked of it (%(reason)s). Check its "
                "address: it is one of an OpenAI-compatible server and ends in /v1.",
                reason=error.phrase.values["reason"],
            )
    return None


def _is_plain(url: str) -> bool:
    """Whether it is a server's address and nothing more: what it holds stands in the ledger, so a
    password has no place in it."""
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    is_bare = not (parts.userinfo or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.host) and is_bare
