"""Which names are served, adapters among them. The engine's facts are made up; the rest is real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import httpx2
import pytest
from fastapi import FastAPI, Request

from appliance.api import models
from appliance.api.parts import ApiParts
from appliance.engine.client import EngineClient
from appliance.engine.config import EngineFacts
from appliance.engine.posting import http_client
from appliance.engine.status import Engine, EngineStatus
from appliance.errors import NotFound
from appliance.gateway.gateway import Gateway
from appliance.gateway.identity import Caller

pytestmark = pytest.mark.anyio

FACTS = EngineFacts(
    model="Qwen/Qwen3-8B",
    backend="transformers",
    engine_version="1",
    precision="bf16",
    context_length=32768,
    kv_tokens=65536,
    max_concurrency=4,
    capabilities=("adapters",),
    adapters=("poet", "Lawyer"),
)


class Loaded:
    """An engine of which only the status is looked at."""

    def __init__(self, facts: EngineFacts | None) -> None:
        self.status = EngineStatus(phase="ready", since=datetime.now(UTC), facts=facts)


@pytest.fixture
async def parts() -> AsyncIterator[ApiParts]:
    async def named(request: Request) -> Caller:
        return cast("Caller", None)

    async with http_client() as http:
        yield ApiParts(
            gateway=cast("Gateway", None),
            engine=cast("Engine", Loaded(FACTS)),
            client=EngineClient(http),
            identify=named,
            version="1",
        )


@pytest.mark.parametrize("name", [None, "", "auto", "default", "Qwen/Qwen3-8B", "qwen3-8b"])
async def test_the_models_own_names_are_no_adapter(parts: ApiParts, name: str | None) -> None:
    assert parts.check_model(name) is None


async def test_an_adapter_is_asked_for_by_its_exact_name(parts: ApiParts) -> None:
    assert parts.check_model("poet") == "poet"
    assert parts.check_model("Lawyer") == "Lawyer"
    with pytest.raises(NotFound, match=r"'gpt-9'.*Qwen3-8B, poet, Lawyer"):
        parts.check_model("gpt-9")


async def test_nothing_is_refused_before_anything_is_loaded(parts: ApiParts) -> None:
    loading = replace(parts, engine=cast("Engine", Loaded(None)))
    assert loading.check_model("whatever") is None


async def test_adapters_are_listed_with_their_parent(parts: ApiParts) -> None:
    app = FastAPI()
    app.include_router(models.router(parts))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        listed = (await client.get("/v1/models")).json()["data"]
        one = (await client.get("/v1/models/poet")).json()
    assert [(card["id"], card["parent"]) for card in listed] == [
        ("Qwen/Qwen3-8B", None),
        ("poet", "Qwen/Qwen3-8B"),
        ("Lawyer", "Qwen/Qwen3-8B"),
    ]
    assert one == listed[1]
    assert one["max_model_len"] == 32768
