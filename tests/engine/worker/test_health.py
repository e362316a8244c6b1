"""What the worker says of itself to the front's watchdog."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from appliance.engine.config import Endpoint
from appliance.engine.kv_usage import kv_usage
from appliance.engine.worker import server
from appliance.engine.worker.backends.base import Ask
from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.generation import Slot
from tests.engine.worker.scripted import ScriptedBackend, engine_of

pytestmark = pytest.mark.anyio
KEY = {"Authorization": "Bearer k"}


async def test_an_engine_that_gets_nowhere_is_not_well(
    demo_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STALL_SECONDS", 0.0)
    tokenizer = demo_folder.tokenizer()

    def script(ask: Ask) -> str:
        return f"before{ScriptedBackend.PAUSE}after"

    backend = ScriptedBackend(tokenizer, script)
    slot = Slot()
    transport = httpx2.ASGITransport(app=server.create_app(slot, "k"))
    async with httpx2.AsyncClient(transport=transport, base_url="http://worker") as http:
        loading = await http.get("/health")
        assert (loading.status_code, loading.json()) == (200, {"status": "loading"})
        slot.engine = engine_of(backend, tokenizer)
        assert (await http.get("/health")).json() == {"status": "ready"}

        body = {"model": "scripted", "prompt": "Hi", "max_tokens": 8}
        asked = asyncio.create_task(http.post("/v1/completions", json=body, headers=KEY))
        await backend.paused.wait()
        stalled = await http.get("/health")
        assert (stalled.status_code, stalled.json()) == (503, {"status": "stalled"})
        backend.go_on()
        assert (await asked).status_code == 200
        assert (await http.get("/health")).json() == {"status": "ready"}


async def test_how_full_the_cache_is_is_told_to_the_front_alone(demo_folder: ModelFolder) -> None:
    tokenizer = demo_folder.tokenizer()
    backend = ScriptedBackend(tokenizer, lambda _: "hello")
    backend.kv_usage = 0.25
    slot = Slot()
    transport = httpx2.ASGITransport(app=server.create_app(slot, "k"))
    async with httpx2.AsyncClient(transport=transport, base_url="http://worker") as http:
        endpoint = Endpoint("http://worker/v1", "k", "scripted")
        assert await kv_usage(http, endpoint) is None
        slot.engine = engine_of(backend, tokenizer)
        assert await kv_usage(http, endpoint) == 0.25
        assert await kv_usage(http, Endpoint("http://worker/v1", "other", "scripted")) is None
