"""An OpenAI-compatible server with exact tokens and exact faults, on a real loopback socket.

What it does is chosen by the last user message (or the raw prompt, or what a page has fenced in
it; token ids are said): one of the words of `tests.scripted_answers`, or

    refuse N       answers with status N in OpenAI's envelope
    refuse N JSON  … with this body
    long           refused as context_length_exceeded, with the numbers
    page           a page for people, with status 200
    late           refused in the stream, as vLLM refuses a form
    falter …       as `die`, and once `release` is set as `text`
    endless        counts, fifty numbers a second, until the client leaves
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from appliance.engine.config import Endpoint
from tests.scripted_answers import end, pieces, said
from tests.waiting import until

KEY = "engine-key"
MODEL = "scripted"
ANSWER_ID = "scripted-answer"
FENCED = re.compile(r"(?ms)^(?:<(text_*)>|(```+)\w*)\n(?P<inside>.*?)\n(?:</\1>|\2)")


class ScriptedEngine:
    """`bodies` and `traceparents` are of the requests it saw, `running` the answers under way,
    `left` the cancelled."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.traceparents: list[str | None] = []
        self.told: list[str] = []
        self.running = 0
        self.most_running = 0
        self.left = threading.Event()
        self.release = threading.Event()
        self.started = threading.Event()
        self.url = ""
        self.app = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._answer, methods=["POST"]),
                Route("/v1/completions", self._answer, methods=["POST"]),
                Route("/v1/chat/completions/{id:path}/answer_now", self._now, methods=["POST"]),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/metrics", self._metrics),
            ]
        )

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.url, KEY, MODEL)

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.traceparents.append(request.headers.get("traceparent"))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _refusal(401, "wrong key")
        prompt = body.get("prompt") or body["messages"][-1]["content"]
        if isinstance(prompt, list):
            prompt = "say " + " ".join(map(str, prompt))
        if fenced := FENCED.search(prompt):
            prompt = fenced["inside"]
        word, _, rest = prompt.partition(" ")
        if word == "falter":
            word = "text" if self.release.is_set() else "die"
        if word == "refuse":
            status, _, said = rest.partition(" ")
            return (
                Response(said, int(status)) if said else _refusal(int(rest), f"refused with {rest}")
            )
        if word == "long":
            more = {"prompt_tokens": 9000, "max_tokens": 100, "limit": 8192}
            return _refusal(400, "too long", code="context_length_exceeded", **more)
        if word == "page":
            return Response("<h1>Welcome</h1>", media_type="text/html")
        return StreamingResponse(
            self._stream(word, rest, body),
            headers={"x-generation-id": ANSWER_ID},
            media_type="text/event-stream",
        )

    async def _now(self, request: Request) -> Response:
        """Every answer is thinking, but one that is called `text` and one that is `gone`."""
        self.told.append(request.path_params["id"])
        return Response(status_code={"text": 409, "gone": 404}.get(self.told[-1], 204))

    async def _tokenize(self, request: Request) -> Response:
        self.bodies.append(body := await request.json())
        if body.get("prompt") == "other":
            return JSONResponse({"tokens": []})
        return JSONResponse({"count": 2, "max_model_len": 8192, "tokens": [1, 2]})

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse("vllm:kv_cache_usage_perc 0.25\n")

    async def _stream(self, word: str, rest: str, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.started.set()
        try:
            async for chunk in self._script(word, rest, body):
                yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            self.left.set()
            raise
        finally:
            self.running -= 1

    async def _script(self, word: str, rest: str, body: dict[str, Any]) -> AsyncIterator[bytes]:
        if word == "endless":
            for number in itertools.count(1):
                yield said(f"{number} ", "prompt" in body)
                await asyncio.sleep(0.02)
        for piece in pieces(word, rest, body):
            yield piece
        if word == "wait":
            await until(self.release.is_set, 60)
        if word == "die":
            raise ConnectionResetError
        if word == "garbage":
            yield b"data: {not json\n\n"
        if word == "error":
            yield b'data: {"error": {"message": "out of memory"}}\n\n'
        if word == "late":
            yield b'data: {"error": {"message": "Grammar error", "param": null, "code": 400}}\n\n'
        for piece in end(word, rest, body):
            yield piece


def _refusal(status: int, message: str, **more: Any) -> Response:
    error = {"message": message, "type": "scripted", "param": None, "code": None, **more}
    return JSONResponse({"error": error}, status)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Any ASGI app on a real loopback socket, in a thread; its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    listener.listen(128)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def scripted_engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine()
    with serving(engine.app) as url:
        engine.url = url + "/v1"
        yield engine
