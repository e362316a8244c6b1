"""Who may come: what each visitor sends, and where that gets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from sqlmodel import col, update

from appliance.ledger.tables_keys import ApiKey
from tests.access.house import House

HERE, ELSEWHERE = "127.0.0.1:8000", "192.168.1.10:8000"
FOREIGN = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
FORGED = {
    "x-forwarded-for": "127.0.0.1",
    "forwarded": "for=127.0.0.1",
    "x-real-ip": "127.0.0.1",
    "host": HERE,
}
EVERYWHERE = ("open", "key", "caller", "assistants", "asking", "chat", "reader", "admin")
Headers = dict[str, str]


@dataclass(frozen=True)
class Visitor:
    """`opens` are the kinds of rows that let them in; elsewhere they are asked for a key, or told
    that theirs is not enough (`is_known`). `is_foreign`: another site's page acts in the browser.
    """

    name: str
    headers: Callable[[], Awaitable[Headers]]
    opens: tuple[str, ...] = ("open",)
    is_here: bool = False
    is_known: bool = False
    is_foreign: bool = False

    def address(self) -> str:
        """Each time another one elsewhere: nobody is to be refused for trying too often."""
        return "127.0.0.1" if self.is_here else f"10.{next(_LAST) // 250}.0.{next(_LAST) % 250}"

    def expected(self, kind: str, method: str) -> str:
        if self.is_foreign and method not in ("GET", "HEAD"):
            return "forbidden"
        if kind in self.opens:
            return "in"
        return "forbidden" if self.is_known else "asked for a key"


_LAST = count(1)
PLAIN = ("open", "key", "caller", "assistants", "asking", "chat")
READS = ("open", "key", "caller", "reader")
TALKS = ("open", "key", "assistants")


async def visitors(house: House) -> list[Visitor]:
    """All of them, with real keys and real cookies."""
    anna, plain = await house.keys.create("anna")
    house.good_key = plain
    ada, admin = await house.keys.create("ada", is_admin=True)
    _, reader = await house.keys.create("rita", scopes=["history"])
    _, guest = await house.keys.create("guest", assistants=["tutor"])
    _, revoked = await house.keys.create("old")
    await house.keys.revoke("old")
    late, expired = await house.keys.create(
        "late", expires_at=datetime.now(UTC) + timedelta(days=1)
    )
    ended = update(ApiKey).where(col(ApiKey.id) == late.id).values(expires_at=late.created_at)
    await house.writer.execute(lambda session: session.execute(ended))

    def sends(host: str = ELSEWHERE, **named: str) -> Callable[[], Awaitable[Headers]]:
        async def headers() -> Headers:
            return {"host": host} | {name.replace("_", "-"): v for name, v in named.items()}

        return headers

    def signed_in(
        key: ApiKey = anna, ago: int = 0, more: Headers | None = None
    ) -> Callable[[], Awaitable[Headers]]:
        async def headers() -> Headers:
            cookie = await house.cookie(key.id, ago)
            return {"host": ELSEWHERE, "cookie": cookie} | (more or {})

        return headers

    async def forged() -> Headers:
        return dict(FORGED)

    async def foreign_here() -> Headers:
        return {"host": HERE} | FOREIGN

    async def foreign_elsewhere() -> Headers:
        return {"host": ELSEWHERE} | FOREIGN

    anna_abroad = signed_in(more=FOREIGN)
    return [
        Visitor("owner", sends(HERE), EVERYWHERE, is_here=True, is_known=True),
        Visitor("admin key", sends(x_api_key=admin), EVERYWHERE, is_known=True),
        Visitor("plain key", sends(x_api_key=plain), PLAIN, is_known=True),
        Visitor("history key", sends(x_api_key=reader), READS, is_known=True),
        Visitor("assistant's key", sends(x_api_key=guest), TALKS, is_known=True),
        Visitor("session", signed_in(), PLAIN, is_known=True),
        Visitor("admin's session", signed_in(ada), EVERYWHERE, is_known=True),
        Visitor("expired session", signed_in(late)),
        Visitor("nobody", sends()),
        Visitor("wrong key", sends(x_api_key="sk-appl-wrong")),
        Visitor("wrong key here", sends(HERE, x_api_key="sk-appl-wrong")),
        Visitor("revoked key", sends(x_api_key=revoked)),
        Visitor("expired key", sends(x_api_key=expired)),
        Visitor("signed out", signed_in(ago=1)),
        Visitor("forged cookie", sends(cookie="appliance_session=WyJhIiwwXQ.aaaa.bbbb")),
        Visitor("by a proxy", sends(HERE, x_forwarded_for="192.168.1.20"), is_here=True),
        Visitor("forged forwarding", forged),
        Visitor("key by a proxy", sends(HERE, x_api_key=plain, via="1.1 proxy"), PLAIN,
                is_here=True, is_known=True),
        Visitor("rebound name", sends("evil.example:8000"), is_here=True),
        Visitor("foreign page, owner", foreign_here, EVERYWHERE, is_here=True, is_foreign=True),
        Visitor("foreign page, anna", anna_abroad, PLAIN, is_foreign=True, is_known=True),
        Visitor("foreign page, nobody", foreign_elsewhere, is_foreign=True),
    ]  # fmt: skip
