"""A front in a process of its own, which holds one place until it is killed."""

from __future__ import annotations

import asyncio
import sys

from appliance.gateway import redis_hall, redis_queue
from appliance.gateway.redis_contact import make_pool
from appliance.gateway.redis_queue import SharedQueue


async def main(url: str, scope: str, beat: str) -> None:
    for module in (redis_hall, redis_queue):
        vars(module)["BEAT_SECONDS"] = float(beat)
    queue = SharedQueue(make_pool(url), scope=scope, slots=1, limit=10, per_key=10)
    keeping = asyncio.create_task(queue.keep())
    async with queue.place("anna", ticket="theirs"):
        print("inside", flush=True)  # noqa: T201 - to whoever waits for it
        await keeping


asyncio.run(main(*sys.argv[1:]))
