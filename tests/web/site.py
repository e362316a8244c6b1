"""The real pages over a real ledger, with an engine that says exactly what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Event,
    Finished,
    GenerationRequest,
    Phrase,
    ReasoningDelta,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from appliance.engine.client import EngineClient
from appliance.engine.config import Endpoint, EngineFacts, ModelSource
from appliance.engine.posting import http_client
from appliance.engine.status import EngineStatus, StatusBoard
from appliance.engine.supervisor import BY_HAND
from appliance.fit.decision import Plan, Reason
from appliance.gateway.context import UNNAMED, Origin
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.hall import Place
from appliance.gateway.http import Recording, identify
from appliance.gateway.identity import Caller, Identity
from appliance.gateway.revocation import Revocations
from appliance.ledger.assistants import Assistants
from appliance.ledger.attachments import Attachments
from appliance.ledger.conversations import Conversations
from appliance.ledger.database import Database
from appliance.ledger.drafts import Drafts
from appliance.ledger.history import History
from appliance.ledger.joining import Joining
from appliance.ledger.keys import KeyStore
from appliance.ledger.mine import Mine
from appliance.ledger.queries import Queries
from appliance.ledger.recorder import Recorder
from appliance.ledger.writer import Writer
from appliance.monitor import read_ledger
from appliance.web.app import mount_pages, mount_static
from appliance.web.parts import Reach, WebParts
from appliance.web.runs import Runs
from appliance.web.security import SecureHeaders
from appliance.web.session import Sessions

SECRET = "only for tests"
FACTS = EngineFacts(
    model="Script-1B",
    backend="script",
    engine_version="1",
    precision="fp32",
    context_length=4096,
    kv_tokens=8192,
    max_concurrency=4,
    capabilities=(),
    thinking=True,
)

PLAN = Plan(
    engine="openvino",
    device="cpu",
    model=FACTS.model,
    source=ModelSource("folder", "models/script"),
    context_length=FACTS.context_length,
    max_concurrency=FACTS.max_concurrency,
    reasons=(Reason("model", Phrase("%(model)s is what you asked for.", {"model": FACTS.model})),),
)


class ScriptedEngine:
    """An engine whose status tests publish on `board`."""

    def __init__(self) -> None:
        self.board = StatusBoard()
        self.restarts_asked = 0
        self.orders: list[str] = []
        self.board.publish(phase="ready", facts=FACTS)

    @property
    def status(self) -> EngineStatus:
        return self.board.status

    def changes(self) -> Any:
        return self.board.changes()

    def endpoint(self) -> Endpoint:
        raise NotImplementedError("pages never ask for the endpoint")

    async def start(self) -> None: ...

    async def restart(self) -> None:
        self.restarts_asked += 1
        self.board.publish(phase="restarting")

    def lease(self) -> Any:
        raise NotImplementedError("pages never use the engine themselves")

    async def unload(self) -> None:
        self.orders.append("unload")
        self.board.publish(phase="unloaded", reason=BY_HAND, facts=None)

    async def load(self) -> None:
        self.orders.append("load")
        self.board.publish(phase="starting")

    async def stop(self) -> None: ...


class ScriptedGateway:
    """Says the pieces put into `script`, as the gateway promises: refusal, deltas, end.

    A piece is text, another delta, an exception to raise, or an event to wait for.
    `asked` keeps the requests in order; `cancelled` is set when an answer is cut off; `hurried`
    keeps the generations that were to answer now; `standing` is the place in line of all.
    """

    def __init__(self) -> None:
        self.script: list[str | ReasoningDelta | ToolCallDelta | Exception | asyncio.Event] = [
            "Hello."
        ]
        self.pace = 0.0
        self.finish_reason: Any = "stop"
        self.asked: list[GenerationRequest] = []
        self.origins: list[Origin] = []
        self.cancelled = asyncio.Event()
        self.hurried: list[tuple[str, str]] = []
        self.standing: Place | None = None

    async def run(
        self,
        request: GenerationRequest,
        caller: Caller,
        *,
        request_id: str,
        origin: Origin = UNNAMED,
    ) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        self.origins.append(origin)
        count = 0
        try:
            for place, piece in enumerate(self.script):
                if place == 0 and not isinstance(piece, Exception):
                    yield Admitted("generation", FACTS.model, 0.0)
                match piece:
                    case Exception():
                        raise piece
                    case asyncio.Event():
                        await piece.wait()
                    case ReasoningDelta() | ToolCallDelta():
                        yield piece
                    case str():
                        count += 1
                        yield TextDelta(piece)
                await asyncio.sleep(self.pace)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        yield ChoiceFinished(self.finish_reason)
        yield Finished(self.finish_reason, Usage(1, count), Timings(0, 1, 2))

    async def answer_now(self, generation_id: str, caller: Caller) -> None:
        self.hurried.append((generation_id, caller.name))

    def place(self, request_id: str, caller: Caller) -> Place | None:
        return self.standing


def words(text: str) -> Iterable[str]:
    """The text in pieces as an engine would send them."""
    return text.replace(" ", " \0").split("\0")


async def word_count(text: str) -> int | None:
    """Tokens, for an engine to which each word is one."""
    return len(text.split())


class Site:
    """One appliance's pages, made in a running event loop; `close()` it."""

    def __init__(self, folder: Path, *, require_key: bool = False) -> None:
        self.folder = folder
        self.secrets = [SECRET]
        self.database = Database(f"sqlite:///{folder / 'appliance.db'}")
        self.database.migrate()
        self.writer = Writer(self.database)
        self.recorder = Recorder(self.writer)
        self.engine = ScriptedEngine()
        self.gateway = ScriptedGateway()
        self.keys = KeyStore(self.database, self.writer)
        self.runs = Runs(self.gateway, self.engine)
        identity = Identity(self.keys, require_key=require_key)

        sessions = Sessions(lambda: self.secrets)

        async def who(request: Request) -> Caller:
            return await identify(identity, request, sessions.read)

        self.parts = WebParts(
            gateway=self.gateway,
            identify=who,
            engine=self.engine,
            queries=Queries(self.database, self.writer),
            history=History(self.database, self.writer),
            mine=Mine(self.database, self.writer),
            elsewhere=Elsewhere(
                EngineClient(http_client()), self.recorder, Revocations(), keep_content=True
            ),
            keys=self.keys,
            conversations=Conversations(self.database, self.writer),
            drafts=Drafts(self.database, self.writer),
            attachments=Attachments(self.database, self.writer),
            assistants=Assistants(self.database, self.writer),
            count_tokens=word_count,
            runs=self.runs,
            plan=PLAN,
            losses=lambda: read_ledger(self.writer),
            reach=Reach(started_at=datetime.now(UTC), host="127.0.0.1", port=8000),
            sessions=sessions,
            joining=Joining(self.database, self.writer),
            sign_out_all=lambda: self.secrets.__setitem__(0, "another"),
            version="1.0",
            chat_titles=False,
        )
        self.app = FastAPI()
        mount_pages(self.app, self.parts)
        mount_static(self.app)
        self.app.add_middleware(SecureHeaders)
        self.app.add_middleware(Recording, ledger=self.recorder)

    async def close(self) -> None:
        await self.runs.close()
        self.writer.close()
        self.database.close()
