"""What the pages are given by the app: parts and values, never the settings object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request

from appliance.domain import Event, GenerationRequest
from appliance.engine.status import Engine
from appliance.gateway.identity import Caller

if TYPE_CHECKING:
    from appliance.web.runs import Runs


class Generator(Protocol):
    """What pages ask of the gateway: its `run`, with its promises."""

    def run(
        self, request: GenerationRequest, caller: Caller, *, request_id: str
    ) -> AsyncGenerator[Event, None]: ...


@dataclass(frozen=True, kw_only=True)
class WebParts:
    """`identify` names the caller or raises NotAuthenticated; `runs` are generations of pages.

    `session_secret` signs cookies; `language` is for readers who ask for none of ours.
    """

    gateway: Generator
    identify: Callable[[Request], Awaitable[Caller]]
    engine: Engine
    queries: Any
    keys: Any
    conversations: Any
    runs: Runs
    plan: Any
    session_secret: str
    language: str = "en"
    version: str = ""
