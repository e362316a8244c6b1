"""What the pages are given by the app: parts and values, never the settings object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request

from appliance.domain import Event, GenerationRequest
from appliance.engine.status import Engine
from appliance.gateway.context import UNNAMED, Origin
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.hall import Place
from appliance.gateway.identity import Caller
from appliance.gateway.tries import WrongKeys
from appliance.ledger.assistants import Assistants
from appliance.ledger.attachments import Attachments
from appliance.ledger.conversations import Conversations
from appliance.ledger.drafts import Drafts
from appliance.ledger.history import History
from appliance.ledger.joining import Joining
from appliance.ledger.keys import KeyStore
from appliance.ledger.mine import Mine
from appliance.ledger.queries import Queries
from appliance.observability.readings import LedgerReading
from appliance.web.chat_store import Chats
from appliance.web.frame import Logged
from appliance.web.session import Sessions
from appliance.web.talks import Talks

if TYPE_CHECKING:
    from appliance.web.runs import Runs


class Runner(Protocol):
    """Whatever runs generations with the gateway's promises: the gateway, or a way elsewhere."""

    def run(
        self,
        request: GenerationRequest,
        caller: Caller,
        *,
        request_id: str,
        origin: Origin = UNNAMED,
    ) -> AsyncGenerator[Event, None]: ...


class Generator(Runner, Protocol):
    """What pages ask of the gateway."""

    async def answer_now(self, generation_id: str, caller: Caller) -> None: ...

    def place(self, request_id: str, caller: Caller) -> Place | None: ...


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Since when this process listens, where, and whether it asks its own machine for a key.

    `urls()` are the addresses at which other machines reach it now, the best first; none when it
    listens on this machine only. `authority()` is the certificate to be trusted, as PEM, where
    the appliance vouches for itself.
    """

    started_at: datetime
    host: str
    port: int
    require_key: bool = False
    urls: Callable[[], Sequence[str]] = tuple
    authority: Callable[[], bytes | None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class WebParts:
    """`identify` names the caller or raises NotAuthenticated; `runs` are generations of pages.

    `sessions` signs browsers in; `joining` takes invitations; `sign_out_all` ends every session of
    everybody; `language` is the owner's choice for all, or `auto`;
    `count_tokens` asks the engine, None: it cannot tell;
    `demo_model` is the name by which the engine calls the small model of the installation;
    `chat_titles`: the model names chats; `losses()` tells what the ledger could not record,
    `fronts()` how many processes serve.
    """

    gateway: Generator
    identify: Callable[[Request], Awaitable[Caller]]
    engine: Engine
    queries: Queries
    history: History
    mine: Mine
    elsewhere: Elsewhere
    keys: KeyStore
    conversations: Conversations
    drafts: Drafts
    attachments: Attachments
    assistants: Assistants
    count_tokens: Callable[[str], Awaitable[int | None]]
    runs: Runs
    plan: Any
    losses: Callable[[], LedgerReading]
    reach: Reach
    sessions: Sessions
    joining: Joining
    sign_out_all: Callable[[], None]
    fronts: Callable[[], int] = lambda: 1
    language: str = "auto"
    demo_model: str = ""
    version: str = ""
    logged: Logged = field(default_factory=Logged)
    chat_titles: bool = True
    talks: Talks = field(default_factory=Talks)
    login_tries: WrongKeys = field(default_factory=WrongKeys)

    @cached_property
    def chats(self) -> Chats:
        """Where chats are kept; temporary ones live as long as these parts."""
        return Chats(self.conversations)
