"""HTTPS to an engine elsewhere: httpx2's own transport, made by the first request that needs it."""

from __future__ import annotations

from functools import cached_property

import httpx2


class FarTransport(httpx2.AsyncBaseTransport):
    """For `https://` URLs. Its packages and the list of authorities would hold up every start, and
    most appliances never need them."""

    def __init__(self, limits: httpx2.Limits) -> None:
        self._limits = limits

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._made.handle_async_request(request)

    async def aclose(self) -> None:
        if "_made" in vars(self):
            await self._made.aclose()

    @cached_property
    def _made(self) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(limits=self._limits, trust_env=False)
