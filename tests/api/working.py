"""Keys while their holders work: made, ended, and waiting in a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import anyio
import httpx2
from sqlmodel import col, update

from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer
from tests.scripted_app import ScriptedAppliance
from tests.waiting import until

T = TypeVar("T")


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


def revoke(house: ScriptedAppliance, name: str) -> None:
    """As the command line does it: beside the running appliance."""
    anyio.run(beside, house, lambda _, keys: keys.revoke(name))


def rotate(house: ScriptedAppliance, name: str) -> None:
    """Without grace."""
    anyio.run(beside, house, lambda _, keys: keys.rotate(name))


def expire(house: ScriptedAppliance, name: str) -> None:
    """As if the key's last moment had just gone by."""
    now = update(ApiKey).where(col(ApiKey.name) == name).values(expires_at=datetime.now(UTC))
    anyio.run(beside, house, lambda writer, _: writer.execute(lambda s: s.execute(now)))


async def beside(
    house: ScriptedAppliance, work: Callable[[Writer, KeyStore], Awaitable[object]]
) -> None:
    database = Database(house.settings.effective_database_url)
    writer = Writer(database)
    await work(writer, KeyStore(database, writer))
    writer.close()
    database.close()


async def aside(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """In a thread that knows of no event loop, so that it may run one of its own."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **more))


async def new_key(house: ScriptedAppliance, name: str) -> str:
    return await aside(house.key, name)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@asynccontextmanager
async def busy(house: ScriptedAppliance, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client, while somebody else's answer holds the only place until `release` is set."""
    house.engine.release.clear()
    house.engine.started.clear()
    async with httpx2.AsyncClient(base_url=house.url, timeout=30) as client:
        body = {"prompt": "wait", "stream": True}
        async with client.stream("POST", "/generate", json=body, headers=headers):
            await until(house.engine.started.is_set)
            try:
                yield client
            finally:
                house.engine.release.set()


async def queue_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/admin/queue")).json()
    return found


async def waiting(client: httpx2.AsyncClient, count: int) -> dict[str, Any]:
    """The queue, once so many wait in it."""
    for _ in range(5000):
        if len((found := await queue_of(client))["waiting"]) >= count:
            return found
    raise AssertionError(f"never {count} waiting: {found}")
