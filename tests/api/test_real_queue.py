"""The fair queue before a real model: one key's fifty requests, and another key's single one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest

from tests.live import Appliance, appliance
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
# What a busy machine may take to hand a place on.
SLACK_MS = 1000.0


def prompt(text: str, tokens: int) -> dict[str, Any]:
    return {"prompt": text, "max_tokens": tokens, "temperature": 0.9, "raw": True}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """The packaged model with two places: there is no line before as many as it could have."""
    flags = ("--model", "demo", "--max-concurrency", "2")
    with appliance(tmp_path_factory.mktemp("narrow"), *flags) as running:
        running.wait_ready()
        yield running


async def test_a_single_request_waits_no_longer_than_one_running_answer(narrow: Appliance) -> None:
    async with httpx2.AsyncClient(base_url=narrow.url, timeout=200) as client:
        secrets = {}
        for name in ("fifty", "one"):
            made = await client.post("/admin/keys", json={"name": name})
            secrets[name] = {"x-api-key": made.json()["secret"]}
        noise = [
            asyncio.create_task(
                client.post("/generate", json=prompt(f"Tell {n}", 3), headers=secrets["fifty"])
            )
            for n in range(50)
        ]
        while not (await client.get("/admin/queue")).json()["waiting"]:
            assert not all(task.done() for task in noise), "nobody had to wait"
        single = await client.post("/generate", json=prompt("Hi", 3), headers=secrets["one"])
        answers = await asyncio.gather(*noise)
    assert {answer.status_code for answer in (single, *answers)} == {200}
    runs = [answer.json()["duration_ms"] - answer.json()["queue_ms"] for answer in answers]
    assert single.json()["queue_ms"] <= max(runs) + SLACK_MS, json.dumps(sorted(runs))
    # A row is closed a moment after its answer is out.
    await until(lambda: rows(narrow) == 50)


def rows(narrow: Appliance) -> int:
    with closing(sqlite3.connect(narrow.data_dir / "appliance.db")) as database:
        query = "select count(*) from request where key_name = 'fifty' and status = 200"
        return int(database.execute(query).fetchone()[0])
