"""Somebody else's server in all its moods: each has a phase and a reason, and passes by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from appliance.engine import remote as module
from appliance.engine.remote import RemoteEngine
from appliance.engine.remote_answer import Listing, Trouble, read
from appliance.errors import EngineUnavailable, InvalidRequest
from tests.engine.supervised import seen
from tests.live import free_port
from tests.scripted_engine import serving

pytestmark = pytest.mark.anyio


class Upstream:
    """A server whose next answers to `/v1/models` are whatever `mood` makes."""

    def __init__(self) -> None:
        self.mood: Callable[[], Response] = good
        self.slow = False
        self.url = ""
        self.app = Starlette(routes=[Route("/v1/models", self._models)])

    async def _models(self, request: Request) -> Response:
        if self.slow:
            await asyncio.sleep(5)
        return self.mood()


def good(**more: Any) -> Response:
    return JSONResponse({"data": [{"id": "llama", "max_model_len": 4096, **more}]})


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    with serving(made.app) as url:
        made.url = url + "/v1"
        yield made


@contextmanager
def at_port(app: Any, port: int) -> Iterator[None]:
    """The app at an address that others know already, and that is free again afterwards."""
    config = uvicorn.Config(app, port=port, log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


Make = Callable[..., RemoteEngine]


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(module, "ASK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    made = []

    def start(url: str, model: str = "auto", context_length: int = 0) -> RemoteEngine:
        made.append(
            RemoteEngine(
                url=url,
                key="k",
                model=model,
                context_length=context_length,
                max_concurrency=8,
            )
        )
        return made[-1]

    yield start
    for one in made:
        await one.stop()


async def test_what_it_lists_is_what_is_known_of_it(make: Make, upstream: Upstream) -> None:
    engine = make(upstream.url)
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    assert status.facts is not None
    assert (status.facts.model, status.facts.context_length) == ("llama", 4096)
    assert status.facts.capabilities == ()
    async with engine.lease() as endpoint:
        assert (endpoint.url, endpoint.key, endpoint.model) == (upstream.url, "k", "llama")


async def test_another_model_over_there_is_noticed(make: Make, upstream: Upstream) -> None:
    engine = make(upstream.url)
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    upstream.mood = lambda: good(max_model_len=9000)
    await seen(engine, lambda s: s.facts is not None and s.facts.context_length == 9000)


MOODS: list[tuple[str, Callable[[], Response], str, str]] = [
    ("wrong key", lambda: JSONResponse({}, 401), "failed", "--engine-key"),
    ("garbage", lambda: PlainTextResponse("<html>hello"), "failed", "<html>hello"),
    ("no list", lambda: JSONResponse({"data": [1]}), "failed", "--engine-url"),
    ("broken", lambda: PlainTextResponse("traceback", 500), "failed", "status 500: traceback"),
    ("loading", lambda: PlainTextResponse("Loading model", 503), "loading", "Loading model"),
    ("empty", lambda: JSONResponse({"data": []}), "loading", "no model yet"),
]


@pytest.mark.parametrize(
    ("mood", "phase", "reason"), [m[1:] for m in MOODS], ids=[m[0] for m in MOODS]
)
async def test_each_trouble_has_its_phase_and_reason_and_passes(
    make: Make, upstream: Upstream, mood: Callable[[], Response], phase: str, reason: str
) -> None:
    upstream.mood = mood
    engine = make(upstream.url)
    await engine.start()
    status = await seen(engine, lambda s: s.reason is not None)
    assert status.phase == phase
    assert reason in str(status.reason)
    with pytest.raises(EngineUnavailable) as caught:
        engine.endpoint()
    assert reason in str(caught.value)
    upstream.mood = good
    await seen(engine, lambda s: s.phase == "ready" and s.reason is None)


async def test_a_server_that_dies_is_restarting_until_it_is_back(make: Make) -> None:
    one = Upstream()
    port = free_port()
    engine = make(f"http://127.0.0.1:{port}/v1")
    await engine.start()
    status = await seen(engine, lambda s: s.reason is not None)
    assert status.phase == "starting"
    assert "cannot be reached" in str(status.reason)
    with at_port(one.app, port):
        await seen(engine, lambda s: s.phase == "ready")
    status = await seen(engine, lambda s: s.phase == "restarting")
    assert "cannot be reached" in str(status.reason)
    assert status.restarts == 1
    with at_port(one.app, port):
        await seen(engine, lambda s: s.phase == "ready")


async def test_one_slow_answer_is_forgiven_and_many_are_not(make: Make, upstream: Upstream) -> None:
    engine = make(upstream.url)
    await engine.start()
    await seen(engine, lambda s: s.phase == "ready")
    upstream.slow = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    status = await seen(engine, lambda s: s.phase == "restarting")
    assert loop.time() - began > (module.PATIENCE - 1) * module.ANSWER_SECONDS
    assert "within" in str(status.reason)
    upstream.slow = False
    await seen(engine, lambda s: s.phase == "ready")


async def test_a_model_that_is_not_listed_is_tried_with_a_warning(
    make: Make, upstream: Upstream
) -> None:
    engine = make(upstream.url, "other")
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    assert "does not list other" in str(status.notice)
    assert engine.endpoint().model == "other"


async def test_it_is_not_ours_to_unload(make: Make, upstream: Upstream) -> None:
    with pytest.raises(InvalidRequest, match="not ours"):
        await make(upstream.url).unload()


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({"max_model_len": 1}, 1),
        ({"meta": {"n_ctx": 2}}, 2),
        ({"context_length": 3}, 3),
        ({"max_model_len": None}, 0),
        ({}, 0),
    ],
)
def test_the_context_by_its_many_names(entry: dict[str, Any], context: int) -> None:
    assert Listing(({"id": "m", **entry},)).context_of("m") == context


def test_adapters_name_their_parent() -> None:
    listing = Listing(({"id": "m"}, {"id": "poet", "parent": "m"}))
    assert listing.adapters_of("m") == ("poet",)


def test_bytes_that_are_no_text() -> None:
    answer = read("u", 200, b"\xff\xfe\x00")
    assert isinstance(answer, Trouble)
    assert answer.kind == "garbage"
