"""How the ledger does when it is large: python -m bench.ledger --requests 1000000 --data-dir DIR

Fills a new ledger with invented requests (chats that grow, single questions, page views; English
and Chinese) by the appliance's own recorder, then asks what the history page and the search ask.
Prints a record in Markdown. `--database-url` measures PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from ulid import ULID

from appliance.domain import Timings, Usage
from appliance.ledger.database import Database
from appliance.ledger.filters import Selection
from appliance.ledger.history import History
from appliance.ledger.queries import Queries
from appliance.ledger.recorder import Recorder
from appliance.ledger.writer import Writer
from bench.report import heading, markdown

SPREAD = timedelta(days=90)
AT_ONCE = 500
ASKED_EACH = 30
LONGEST_CHAT = 12
SYLLABLES = tuple(a + b for a in "bdfghjklmnprst" for b in "aeiou")
HANZI = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"
KEYS = [f"key-{number}" for number in range(20)]
PARAMETERS = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "max_tokens": 512}


@dataclass
class Filling:
    """What is invented, the same for the same `seed`, and how long recording it took."""

    recorder: Recorder
    writer: Writer
    seed: int = 1
    submitted: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - nothing here is secret

    def fill(self, requests: int) -> float:
        """Records so many; returns the seconds that the writer was busy with it."""
        began = time.perf_counter()
        start = datetime.now(UTC) - SPREAD
        for number, said in enumerate(self._inputs(requests)):
            moment = start + SPREAD * (number / requests)
            before = time.perf_counter()
            self._record(moment, said)
            self.submitted.append(time.perf_counter() - before)
            if number % AT_ONCE == AT_ONCE - 1:
                self.writer.schedule(lambda _session: None).result()
        self.writer.schedule(lambda _session: None).result()
        return time.perf_counter() - began

    def _inputs(self, requests: int) -> Iterator[list[dict[str, str]] | None]:
        """None is a request that asks the engine for nothing."""
        made = 0
        while made < requests:
            kind = self.random.random()
            turns = self.random.randint(2, LONGEST_CHAT) if kind < 0.3 else 1
            said = [{"role": "system", "content": "You are a helpful assistant."}]
            for _ in range(0 if kind > 0.9 else turns):
                said.append({"role": "user", "content": self.text(12, 120)})
                yield list(said)
                said.append({"role": "assistant", "content": self.text(40, 300)})
                made += 1
            if kind > 0.9:
                yield None
                made += 1

    def text(self, least: int, most: int) -> str:
        words = self.random.randint(least, most)
        if self.random.random() < 0.4:
            return "".join(self.random.choices(HANZI, k=words))
        return " ".join("".join(self.random.choices(SYLLABLES, k=3)) for _ in range(words // 2))

    def _record(self, moment: datetime, said: list[dict[str, str]] | None) -> None:
        request_id, generation_id = (str(ULID.from_datetime(moment)) for _ in range(2))
        log, failed = self.recorder, self.random.random() < 0.01
        lasted = self.random.expovariate(1 / 3000)
        log.open_request(
            id=request_id, created_at=moment, method="POST" if said else "GET",
            path="/v1/chat/completions" if said else "/status",
            client_ip=f"10.0.0.{self.random.randrange(50)}", user_agent="OpenAI/Python 2.8.0",
        )  # fmt: skip
        if said is not None:
            log.open_generation(
                id=generation_id, request_id=request_id, model="Qwen/Qwen3-8B", precision="int8",
                engine="transformers", parameters=PARAMETERS, input=said, dialect="openai",
                seed=self.random.getrandbits(53), engine_version="5.14.1",
                trace_id=f"{self.random.getrandbits(128):032x}",
            )  # fmt: skip
            log.close_generation(
                generation_id, output=self.text(40, 300), reasoning=None, usage=Usage(300, 120, 40),
                timings=Timings(1.0, 80.0, 80.0 + lasted),
                finish_reason="error" if failed else "stop",
                error="The engine died." if failed else None, queue_place=0, output_bytes=500,
            )  # fmt: skip
        log.close_request(
            request_id, status=503 if failed else 200, duration_ms=lasted,
            key_name=self.random.choice(KEYS),
        )  # fmt: skip


async def asked(database: Database, writer: Writer, filling: Filling) -> list[list[str]]:
    """Each question of the history page: median, p95 and worst of `ASKED_EACH`, in ms."""
    history = History(database, writer)
    first = await history.page(Selection())
    middle = str(ULID.from_datetime(datetime.now(UTC) - SPREAD / 2))
    words = ["".join(filling.random.choices(SYLLABLES, k=3)) for _ in range(ASKED_EACH)]
    hanzi = ["".join(filling.random.choices(HANZI, k=3)) for _ in range(ASKED_EACH)]
    questions: dict[str, Callable[[int], Awaitable[Any]]] = {
        "newest page": lambda _: history.page(Selection()),
        "next page": lambda _: history.page(Selection(), before=first.next_before),
        "a page in the middle": lambda _: history.page(Selection(), before=middle),
        "one key": lambda n: history.page(Selection(key=KEYS[n % len(KEYS)])),
        "one address": lambda n: history.page(Selection(ip=f"10.0.0.{n % 50}")),
        "failed": lambda _: history.page(Selection(failed=True)),
        "slow": lambda _: history.page(Selection(slow=True)),
        "one request whole": lambda n: _one(database, writer, first.rows[n % len(first.rows)].id),
        "search, English": lambda n: history.page(Selection(words=words[n])),
        "search, Chinese": lambda n: history.page(Selection(words=hanzi[n])),
        "search, two characters": lambda n: history.page(Selection(words=hanzi[n][:2])),
        "search, nothing found": lambda n: history.page(Selection(words=f"qqqqq{n}")),
    }
    return [[name, *await _times(ask)] for name, ask in questions.items()]


async def _one(database: Database, writer: Writer, request_id: str) -> object:
    return await Queries(database, writer).request(request_id, owner=None)


async def _times(ask: Callable[[int], Awaitable[Any]]) -> list[str]:
    taken = []
    for number in range(ASKED_EACH):
        began = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    found = (median(taken), taken[int(0.95 * (len(taken) - 1))], taken[-1])
    return [f"{value:.1f}" for value in found]


def measure(url: str, file: Path | None, requests: int) -> str:
    database = Database(url)
    database.migrate()
    writer = Writer(database)
    filling = Filling(Recorder(writer), writer)
    seconds = filling.fill(requests)
    lines = [heading("The ledger when it is large"), f"**Requests:** {requests}."]
    on_way = sorted(filling.submitted)
    lines.append(
        f"**Write path:** {median(on_way) * 1000:.3f} ms of a request's own time at the median, "
        f"{on_way[int(0.99 * (len(on_way) - 1))] * 1000:.3f} ms at p99; {requests / seconds:.0f} "
        f"requests a second in all; {writer.lost} rows lost."
    )
    if file is not None:
        database.empty_wal()
        size = file.stat().st_size
        lines.append(f"**Size:** {size / 1e6:.1f} MB, {size / requests:.0f} bytes a request.")
    rows = asyncio.run(asked(database, writer, filling))
    lines.append(markdown(["question", "median ms", "p95 ms", "worst ms"], rows))
    writer.close()
    database.close()
    return "\n\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--data-dir", type=Path, help="Where to make the file; kept. Default: none")
    parser.add_argument("--database-url", help="Another database, which must be empty.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = (given.data_dir or Path(scratch)) / "appliance.db"
        url = given.database_url or f"sqlite:///{file}"
        print(measure(url, None if given.database_url else file, given.requests))


if __name__ == "__main__":
    main()
