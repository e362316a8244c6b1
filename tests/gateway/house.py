"""A gateway with everything below it: a scripted engine, a real queue, a real ledger."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, select

from appliance.domain import Event, GenerationRequest, Message, Sampling
from appliance.engine.client import EngineClient
from appliance.engine.remote import RemoteEngine
from appliance.gateway.account import Account
from appliance.gateway.asked import Asked
from appliance.gateway.bookkeeping import Bookkeeping
from appliance.gateway.context import UNNAMED
from appliance.gateway.energy import EnergyMeter
from appliance.gateway.gateway import Gateway
from appliance.gateway.identity import Caller
from appliance.gateway.limits import RateLimits
from appliance.gateway.queue import FairQueue
from appliance.ledger.database import Database
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder
from appliance.ledger.tables import GenerationRecord
from appliance.ledger.writer import Writer

ANNA = Caller(name="anna", is_admin=False, client_ip="10.0.0.9", via="key")
BEN = Caller(name="ben", is_admin=False, client_ip="10.0.0.10", via="key")
WARM = Sampling(temperature=0.5)
GREEDY = Sampling(temperature=0.0)


class House:
    """A gateway with everything below it; `ask` runs one request to its end."""

    def __init__(self, engine: RemoteEngine, client: EngineClient, database: Database) -> None:
        self.engine = engine
        self.database = database
        self.writer = Writer(database)
        self.recorder = Recorder(self.writer)
        self.queue = FairQueue(slots=1, limit=1)
        self.gateway = self._gateway(client)
        self._client = client

    def _gateway(self, client: EngineClient, **changes: object) -> Gateway:
        parts = {
            "engine": self.engine,
            "client": client,
            "limits": RateLimits(None),
            "queue": self.queue,
            "log": self.recorder,
        }
        return Gateway(**(parts | changes))  # type: ignore[arg-type]

    def with_parts(self, **changes: object) -> House:
        self.gateway = self._gateway(self._client, **changes)
        return self

    def run(
        self,
        text: str,
        caller: Caller = ANNA,
        *,
        sampling: Sampling = WARM,
        use_cache: bool = True,
        **more: Any,
    ) -> AsyncGenerator[Event, None]:
        """Open a request's row and run it; `more` are further fields of the request."""
        request_id = new_id()
        self.recorder.open_request(
            id=request_id,
            created_at=datetime.now(UTC),
            method="POST",
            path="/generate",
            client_ip="10.0.0.9",
            user_agent="test",
        )
        origin = more.pop("origin", UNNAMED)
        prompt = more.pop("prompt", (Message("user", text),))
        request = GenerationRequest(prompt=prompt, sampling=sampling, **more)
        return self.gateway.run(
            request, caller, request_id=request_id, use_cache=use_cache, origin=origin
        )

    async def ask(self, text: str, caller: Caller = ANNA, **how: Any) -> list[Event]:
        async with aclosing(self.run(text, caller, **how)) as events:
            return [event async for event in events]

    def open(self, request: GenerationRequest) -> None:
        """Opens the row of a request that is never run."""
        asked = Asked("g", new_id(), request, ANNA, Account(request.choices), UNNAMED, True)
        self.recorder.open_request(
            id=asked.request_id, created_at=datetime.now(UTC), method="POST", path="/generate",
            client_ip=None, user_agent=None,
        )  # fmt: skip
        Bookkeeping(self.recorder, self.engine, EnergyMeter()).open(asked)

    async def rows(self) -> list[GenerationRecord]:
        await self.writer.drained()

        def query(session: Session) -> list[GenerationRecord]:
            return list(session.exec(select(GenerationRecord).order_by(GenerationRecord.id)))

        return await self.database.read(query)
