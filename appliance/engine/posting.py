"""How a request goes to an engine over HTTP: the client, a POST, and what a broken one means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import httpx2

from appliance.engine.far_transport import FarTransport
from appliance.engine.transport import NearTransport
from appliance.engine.wire_refusal import RETRY_SECONDS
from appliance.errors import EngineFailed, EngineUnavailable

# Between two bytes, not for the whole answer: a long prompt on a slow processor is silent for long.
SILENCE_SECONDS = 600.0
CONNECT_SECONDS = 5.0
JSON = ("content-type", "application/json")
NO_MORE: Mapping[str, str] = {}


def http_client(silence_seconds: float = SILENCE_SECONDS) -> httpx2.AsyncClient:
    """A client for loopback and LAN engines: no proxy from the environment, no hidden limit."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS),
        trust_env=False,
        transport=FarTransport(httpx2.Limits(max_connections=None, max_keepalive_connections=64)),
        mounts={"http://": NearTransport()},
        # A compressed stream would come in bursts.
        headers={"accept-encoding": "identity"},
    )


@asynccontextmanager
async def posted(
    http: httpx2.AsyncClient,
    url: str,
    body: dict[str, Any],
    headers: Mapping[str, str],
    extensions: Mapping[str, Any] = NO_MORE,
) -> AsyncIterator[httpx2.Response]:
    """The client's own `stream`, but for what an engine never needs: reading its address anew
    and merging parameters and cookies takes a good part of what the front adds."""
    request = httpx2.Request(
        "POST",
        _address(url),
        headers=[*http.headers.multi_items(), JSON, *headers.items()],
        content=json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        extensions=extensions,
    )
    response = await http.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


async def first_bytes(response: httpx2.Response, most: int) -> bytes:
    """The body, cut after about `most` bytes: a server gone mad must not fill our memory."""
    found = b""
    async for data in response.aiter_bytes():
        found += data
        if len(found) > most:
            break
    return found


def broken(error: httpx2.HTTPError, accepted: bool) -> EngineFailed | EngineUnavailable:
    if isinstance(error, httpx2.ReadTimeout):
        return EngineFailed("The engine has been silent for too long. Please ask again.")
    if accepted:
        return EngineFailed(
            "The engine stopped in the middle of the answer. Please ask again in a moment."
        )
    return EngineUnavailable("The engine does not answer.", retry_after=RETRY_SECONDS)


@lru_cache(maxsize=64)
def _address(url: str) -> httpx2.URL:
    return httpx2.URL(url)
