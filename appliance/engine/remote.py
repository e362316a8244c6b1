"""An engine that somebody else runs: any OpenAI-compatible URL, looked after by asking it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2

from appliance.domain import Phrase
from appliance.engine.config import Endpoint, EngineFacts
from appliance.engine.posting import http_client
from appliance.engine.remote_answer import Answer, Listing, Trouble, read
from appliance.engine.status import EngineStatus, Phase, StatusBoard, unavailable
from appliance.errors import InvalidRequest

ASK_EVERY_SECONDS = 5.0
ANSWER_SECONDS = 10.0
# A server that computes for others is slow now and then; one that is gone says so at once.
PATIENCE = 3


class RemoteEngine:
    """An `Engine` that cannot be stopped or unloaded, only asked; so it comes back by itself.

    `url` ends in `/v1`. `model` is the name to ask for; `auto` takes the first that the server
    lists. A `context_length` of 0 is asked of the server, and stays 0 when it does not say.
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
        self._wanted = model
        self._context_length = context_length
        self._max_concurrency = max_concurrency
        self._board = StatusBoard()
        self._watch: asyncio.Task[None] | None = None
        self._late = 0

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

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Endpoint]:
        yield self.endpoint()

    async def start(self) -> None:
        if self._watch is None or self._watch.done():
            self._board.publish(phase="starting")
            self._watch = asyncio.create_task(self._ask_for_ever(), name="remote engine")

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def unload(self) -> None:
        raise InvalidRequest(
            "The engine at %(url)s is not ours, so it cannot be unloaded from here.",
            url=self._url,
        )

    async def load(self) -> None:
        await self.restart()

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
            self._watch = None
        self._board.publish(phase="stopped", facts=None)

    async def _ask_for_ever(self) -> None:
        async with http_client() as http:
            while True:
                self._take(await self._ask(http))
                await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _ask(self, http: httpx2.AsyncClient) -> Answer:
        url = self._url
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await http.get(url + "/models", headers=headers)
                found = read(url, answer.status_code, answer.content)
        except TimeoutError:
            sentence = "The engine at %(url)s does not answer within %(seconds)s seconds."
            return Trouble("slow", Phrase(sentence, {"url": url, "seconds": ANSWER_SECONDS}))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            sentence = "The engine at %(url)s cannot be reached: %(error)s"
            error_words = str(error) or type(error).__name__
            return Trouble("gone", Phrase(sentence, {"url": url, "error": error_words}))
        if isinstance(found, Listing) and not found.names and self._wanted == "auto":
            sentence = "The engine at %(url)s lists no model yet."
            return Trouble("loading", Phrase(sentence, {"url": url}))
        return found

    def _take(self, answer: Answer) -> None:
        was_ready = self.status.phase == "ready"
        self._late = self._late + 1 if isinstance(answer, Trouble) and answer.kind == "slow" else 0
        if isinstance(answer, Listing):
            facts, notice = self._facts(answer), self._notice(answer)
            if not was_ready or (facts, notice) != (self.status.facts, self.status.notice):
                self._board.publish(phase="ready", facts=facts, notice=notice, reason=None)
        elif not (was_ready and 0 < self._late < PATIENCE):
            self._report(answer)

    def _report(self, trouble: Trouble) -> None:
        """What passes by itself is a start; what somebody has to mend is a failure."""
        phase: Phase = "failed"
        if trouble.kind in ("gone", "slow"):
            lost = self.status.phase in ("ready", "restarting")
            phase = "restarting" if lost else "starting"
            if self.status.phase == "ready":
                self._board.publish(restarts=self.status.restarts + 1)
        elif trouble.kind == "loading":
            phase = "loading"
        self._board.publish(phase=phase, reason=trouble.reason, facts=None, notice=None)

    def _model(self, listing: Listing) -> str:
        is_open = self._wanted == "auto" and listing.names
        return listing.names[0] if is_open else self._wanted

    def _notice(self, listing: Listing) -> Phrase | None:
        """A list may leave out names that work, so an unlisted one is tried all the same."""
        model = self._model(listing)
        if not listing.names or model in listing.names:
            return None
        return Phrase(
            "The engine at %(url)s does not list %(model)s and may refuse it. It lists: %(names)s",
            {"url": self._url, "model": model, "names": ", ".join(listing.names[:10])},
        )

    def _facts(self, listing: Listing) -> EngineFacts:
        model = self._model(listing)
        return EngineFacts(
            model=model,
            backend="remote",
            engine_version=self._url,
            precision="unknown",
            context_length=self._context_length or listing.context_of(model),
            kv_tokens=0,
            max_concurrency=self._max_concurrency,
            capabilities=(),
            adapters=listing.adapters_of(model),
        )
