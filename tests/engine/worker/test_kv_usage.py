"""How full the cache is, as each of our backends tells it while it works."""

from __future__ import annotations

import asyncio

import pytest

from appliance.engine.config import Endpoint
from appliance.engine.kv_usage import kv_usage
from tests.engine.worker.served import Served

pytestmark = pytest.mark.anyio
BOUND_SECONDS = 60


async def held(served: Served) -> float:
    async with served.client() as http:
        found = await kv_usage(http, Endpoint(f"{served.url}/v1", served.key, served.model))
    assert found is not None
    return found


async def test_answers_hold_their_part_of_the_cache(served: Served) -> None:
    if served.is_appliance:
        pytest.skip("an appliance tells it to its owner alone")
    body = {"prompt": "la la la la la", "temperature": 0, "max_tokens": 900, "stream": True}
    async with asyncio.timeout(BOUND_SECONDS), served.client() as client:
        async with client.stream("POST", "/v1/completions", json=body) as response:
            lines = response.aiter_lines()
            for _ in range(4):
                await anext(lines)
            assert 0 < await held(served) <= 1
        while await held(served) > 0:  # noqa: ASYNC110 - the engine notices in its own time
            await asyncio.sleep(0.01)
