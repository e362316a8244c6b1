"""An OpenAI-compatible server with exact tokens and exact faults, on a real loopback socket.

What it does is chosen by the last user message (or the raw prompt):

    say A B C      three chunks `A `, `B `, `C `
    wait           one chunk, then nothing until `release` is set or the client leaves
    die            one chunk, then the connection breaks
    garbage        a line that is not JSON
    silent         ends without a finish reason
    error          one chunk, then an error object in the stream
    think          reasoning, then the answer
    refuse N       answers with status N in OpenAI's envelope
    long           refused as context_length_exceeded, with the numbers
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from appliance.engine.config import Endpoint
from tests.waiting import until

KEY = "engine-key"
MODEL = "scripted"


class ScriptedEngine:
    """`bodies` are the requests it saw, `running` the answers under way, `left` the cancelled."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
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
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _refusal(401, "wrong key")
        prompt = body.get("prompt") or body["messages"][-1]["content"]
        word, _, rest = prompt.partition(" ")
        if word == "refuse":
            return _refusal(int(rest), f"refused with {rest}")
        if word == "long":
            more = {"prompt_tokens": 9000, "max_tokens": 100, "limit": 8192}
            return _refusal(400, "too long", code="context_length_exceeded", **more)
        return StreamingResponse(self._stream(word, rest, body), media_type="text/event-stream")

    async def _stream(self, word: str, rest: str, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.started.set()
        try:
            async for chunk in self._script(word, rest, "prompt" in body):
                yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            self.left.set()
            raise
        finally:
            self.running -= 1

    async def _script(self, word: str, rest: str, raw: bool) -> AsyncIterator[bytes]:
        words = rest.split() if word == "say" else [word]
        if word == "think":
            yield _chunk({"delta": {"reasoning_content": "hm", "reasoning": "hm"}})
        for one in words:
            text = one + " "
            yield _chunk({"text": text} if raw else {"delta": {"content": text}})
        if word == "wait":
            await until(self.release.is_set, 60)
        if word == "die":
            raise ConnectionResetError
        if word == "garbage":
            yield b"data: {not json\n\n"
        if word == "error":
            yield b'data: {"error": {"message": "out of memory"}}\n\n'
        if word == "silent":
            return
        yield _chunk({"delta": {}, "finish_reason": "stop"})
        usage = {"prompt_tokens": 7, "completion_tokens": len(words)}
        usage |= {"prompt_tokens_details": {"cached_tokens": 3}}  # type: ignore[dict-item]
        yield b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"


def _chunk(choice: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n"


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
