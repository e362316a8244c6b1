"""What the pages ask of a ledger that `ledger_rows` has filled, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ulid import ULID

from appliance.ledger.database import Database
from appliance.ledger.filters import Selection
from appliance.ledger.history import History, HistoryPage
from appliance.ledger.queries import Queries
from appliance.ledger.writer import Writer
from bench.ledger_rows import DIALECTS, KEYS, RARE_ADDRESS, RARE_KEY, RARE_MODEL, SPREAD, Texts

Question = Callable[[int], Awaitable[object]]
ROWS_A_PAGE = 30
ROUTE = next(iter(DIALECTS.values()))
DAY = timedelta(days=1)

FILTERS: dict[str, dict[str, Any]] = {
    "newest page": {},
    "page views too": {"answers": False},
    "a rare key": {"key": RARE_KEY},
    "a rare address": {"ip": RARE_ADDRESS},
    "a rare model": {"model": RARE_MODEL},
    "a common model": {"model": "Qwen/Qwen3-8B"},
    "a dialect": {"dialect": "chat"},
    "a route": {"route": ROUTE},
    "status 503": {"status": 503},
    "status 4xx, of which there is none": {"status": 4},
    "failed": {"failed": True},
    "slow": {"slow": True},
    "thumbs up": {"feedback": "up"},
    "the first of three months": {"until": datetime.now(UTC) - SPREAD * 2 / 3},
}
PAIRS: dict[str, dict[str, Any]] = {
    "key and model": {"key": KEYS[0], "model": "Qwen/Qwen3-4B"},
    "key and failed": {"key": KEYS[0], "failed": True},
    "key and slow": {"key": KEYS[0], "slow": True},
    "key and thumbs": {"key": KEYS[0], "feedback": "any"},
    "address and route": {"ip": "10.0.0.7", "route": ROUTE},
    "model and dialect": {"model": "Qwen/Qwen3-4B", "dialect": "chat"},
    "slow and failed": {"slow": True, "failed": True},
    "failed and thumbs down": {"failed": True, "feedback": "down"},
    "key and another's address: none": {"key": KEYS[0], "ip": RARE_ADDRESS},
    "route and another dialect: none": {"route": ROUTE, "dialect": "chat"},
    "key and another's model: none": {"key": KEYS[0], "model": RARE_MODEL},
    "slow and status 4xx: none": {"slow": True, "status": 4},
}


class Asking:
    """Each question is asked as the pages ask it, with other words each time."""

    def __init__(self, database: Database, writer: Writer, texts: Texts) -> None:
        self._history = History(database, writer)
        self._queries = Queries(database, writer)
        self._texts = texts

    def questions(self) -> dict[str, Question]:
        narrowed = {name: self._page(chosen) for name, chosen in (FILTERS | PAIRS).items()}
        return narrowed | self._pages() | self._searches() | self._others()

    def _page(self, chosen: dict[str, Any]) -> Question:
        return lambda _number: self._find(**chosen)

    def _find(self, before: str | None = None, **chosen: Any) -> Awaitable[HistoryPage]:
        return self._history.page(Selection(**chosen), before=before, limit=ROWS_A_PAGE)

    def _pages(self) -> dict[str, Question]:
        middle = str(ULID.from_datetime(datetime.now(UTC) - SPREAD / 2))
        return {
            "one key": lambda n: self._find(key=KEYS[n % len(KEYS)]),
            "one address": lambda n: self._find(ip=f"10.0.0.{n % 50}"),
            "the last day": lambda _: self._find(since=datetime.now(UTC) - DAY),
            "a page in the middle": lambda _: self._find(before=middle),
            "one key, in the middle": lambda n: self._find(middle, key=KEYS[n % len(KEYS)]),
        }

    def _searches(self) -> dict[str, Question]:
        texts = self._texts

        def word() -> str:
            return texts.random.choice(texts.words)

        nowhere = [" ".join(word() for _ in range(4)) for _ in range(40)]
        chinese = [
            texts.piece(texts.chinese, 2) + "的" + texts.piece(texts.chinese, 2) for _ in nowhere
        ]
        return {
            "search: an English word": lambda _: self._find(words=word()),
            "search: four English words that stand there": lambda _: self._find(
                words=texts.piece(texts.english, 30)
            ),
            "search: four that stand nowhere in a row": lambda n: self._find(words=nowhere[n]),
            "search: no such letters": lambda n: self._find(words=f"xqxq{n}"),
            "search: three Chinese signs": lambda _: self._find(
                words=texts.piece(texts.chinese, 3)
            ),
            "search: eight Chinese signs": lambda _: self._find(
                words=texts.piece(texts.chinese, 8)
            ),
            "search: Chinese that stands nowhere": lambda n: self._find(words=chinese[n]),
            "search: two Chinese signs": lambda _: self._find(words=texts.piece(texts.chinese, 2)),
            "search: one sign that is nowhere": lambda _: self._find(words="的"),
            "search: a word, one key": lambda n: self._find(words=word(), key=KEYS[n % len(KEYS)]),
            "search: a word, a rare key": lambda _: self._find(words=word(), key=RARE_KEY),
        }

    def _others(self) -> dict[str, Question]:
        now = datetime.now(UTC)

        async def one(number: int) -> object:
            page = await self._find(before=str(ULID.from_datetime(now - DAY * number)))
            return await self._queries.request(page.rows[0].id, owner=None)

        async def live(_number: int) -> object:
            newest = (await self._find()).rows[0].id
            return await self._history.newer(Selection(), newest, 50)

        return {
            "a request whole, found first": one,
            "live: what is new": live,
            "values for the form": lambda _: self._history.values(),
            "charts of a day": lambda _: self._history.charts(
                Selection(since=now - DAY), now - DAY, DAY / 24
            ),
            "charts of a month": lambda _: self._history.charts(
                Selection(since=now - 30 * DAY), now - 30 * DAY, DAY
            ),
            "charts of a month, one key": lambda n: self._history.charts(
                Selection(since=now - 30 * DAY, key=KEYS[n % len(KEYS)]), now - 30 * DAY, DAY
            ),
        }
