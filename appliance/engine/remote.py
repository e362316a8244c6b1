"""An engine that somebody else runs: any OpenAI-compatible URL, looked after by asking it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2

from appliance.domain import Phrase
from appliance.engine.client import http_client
from appliance.engine.config import Endpoint, EngineFacts
from appliance.engine.status import EngineStatus, StatusBoard, unavailable

ASK_EVERY_SECONDS = 5.0


class RemoteEngine:
    """An `Engine` at a URL that ends in `/v1`. It cannot be stopped or restarted, only asked.

    `model` is the name to ask for; `auto` takes the first that the server lists.
    """

    def __init__(
        self,
        *,
        url: str,
        key: str | None,
        model: str,
        context_length: int,
        max_concurrency: int,
    ) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._model = model
        self._context_length = context_length
        self._max_concurrency = max_concurrency
        self._board = StatusBoard()
        self._watch: asyncio.Task[None] | None = None

    @property
    def status(self) -> EngineStatus:
        return self._board.status

    def changes(self) -> AsyncIterator[EngineStatus]:
        return self._board.changes()

    def endpoint(self) -> Endpoint:
        status = self._board.status
        if status.phase != "ready" or status.facts is None:
            raise unavailable(status)
        return Endpoint(self._url, self._key, status.facts.model)

    async def start(self) -> None:
        if self._watch is None or self._watch.done():
            self._board.publish(phase="starting")
            self._watch = asyncio.create_task(self._ask_for_ever(), name="remote engine")

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        self._board.publish(phase="stopped", facts=None)

    async def _ask_for_ever(self) -> None:
        async with http_client() as http:
            while True:
                await self._ask(http)
                await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _ask(self, http: httpx2.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            answer = await http.get(self._url + "/models", headers=headers, timeout=10)
            answer.raise_for_status()
            listed = [str(entry["id"]) for entry in answer.json()["data"]]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            reason = Phrase(
                "The engine at %(url)s does not answer as expected: %(error)s",
                {"url": self._url, "error": error},
            )
            self._board.publish(phase="failed", reason=reason, facts=None)
            return
        model = listed[0] if self._model == "auto" and listed else self._model
        if self.status.phase != "ready":
            self._board.publish(phase="ready", facts=self._facts(model))

    def _facts(self, model: str) -> EngineFacts:
        return EngineFacts(
            model=model,
            backend="remote",
            engine_version=self._url,
            precision="unknown",
            context_length=self._context_length,
            kv_tokens=self._context_length * self._max_concurrency,
            max_concurrency=self._max_concurrency,
            capabilities=(),
        )
