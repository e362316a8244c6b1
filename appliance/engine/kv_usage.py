"""How full an engine's KV cache is: the one number that only the engine itself knows.

Asked in vLLM's words, which our worker speaks too. Who does not know them, or is slow, has said
nothing: a scrape must not wait.
"""

from __future__ import annotations

import asyncio
import re

import httpx2

from appliance.engine.config import Endpoint
from appliance.engine.posting import first_bytes

ANSWER_SECONDS = 1.0
MAX_BYTES = 4 * 1024 * 1024
_USAGE = re.compile(r"^vllm:kv_cache_usage_perc(?:\{.*\})? (\S+)", re.MULTILINE)


async def kv_usage(http: httpx2.AsyncClient, endpoint: Endpoint) -> float | None:
    """The share that is held, from 0 to 1: the fullest, where several engines answer as one."""
    url = endpoint.url.removesuffix("/v1") + "/metrics"
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            http.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != 200:
                return None
            text = (await first_bytes(response, MAX_BYTES)).decode(errors="replace")
        return max((float(value) for value in _USAGE.findall(text)), default=None)
    except (TimeoutError, httpx2.HTTPError, ValueError):
        return None
