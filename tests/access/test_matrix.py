"""Every route and every kind of visitor: who gets in, who is asked for a key, who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.web import rendering
from tests.access.house import Answer, House, filled
from tests.access.rows import BODIES, ROWS
from tests.access.visitors import FOREIGN, Visitor, visitors

pytestmark = pytest.mark.anyio
HERE = {"host": "127.0.0.1:8000"}
ENDS_SESSIONS = "POST /logout/everywhere"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def outcome(answer: Answer) -> str:
    """What became of a visitor, whatever the route had to say beyond that."""
    status, headers = answer
    if status == 401 or headers.get("location", "").startswith("/login?"):
        return "asked for a key"
    return "forbidden" if status == 403 else "in"


async def visit(house: House, visitor: Visitor, row: str) -> str | None:
    """What is wrong with the answer; None when it is as it must be."""
    method, path = row.split(" ", 1)
    headers = await visitor.headers()
    body = f"key={house.good_key}" if row == "POST /login" else BODIES.get(row, "")
    answer = await house.ask(method, filled(path), headers, visitor.address(), body)
    expected, found = visitor.expected(ROWS[row], method), outcome(answer)
    if path == "/generate" and expected == "asked for a key":
        expected = "forbidden"  # what the seed of this project promised
    strict = answer[1].get("x-content-type-options") == "nosniff"
    policy = answer[1].get("content-security-policy", "")
    if found == expected and strict and "default-src" in policy and "x-request-id" in answer[1]:
        return None
    return f"{visitor.name} at {row}: {found} ({answer[0]}) and not {expected}; {answer[1]}"


async def test_every_route_has_its_row_and_every_row_its_route(house: House) -> None:
    routes = set(house.routes())
    assert routes - set(ROWS) == set(), "new routes: say in rows.py who gets in"
    assert set(ROWS) - routes == set(), "rows of routes that are no more"


async def test_every_visitor_gets_what_is_theirs_at_every_route(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of a visitor at once, but for the one that ends sessions."""
    # What is on the pages is tested elsewhere, and most of the time would go there.
    monkeypatch.setattr(rendering, "render", lambda *_, **__: "")
    wrong = []
    for visitor in await visitors(house):
        rows = [row for row in ROWS if row != ENDS_SESSIONS]
        wrong += await asyncio.gather(*(visit(house, visitor, row) for row in rows))
        wrong.append(await visit(house, visitor, ENDS_SESSIONS))
    assert [line for line in wrong if line is not None] == []


async def test_with_require_key_the_owner_is_asked_too(tmp_path: Path) -> None:
    strict = House(tmp_path, require_key=True)
    for row, kind in ROWS.items():
        method, path = row.split(" ", 1)
        answer = await strict.ask(method, filled(path), HERE, "127.0.0.1", BODIES.get(row, ""))
        refused = {403} if path == "/generate" else {401, 303}
        assert kind == "open" or answer[0] in refused, row
    strict.close()


@pytest.mark.parametrize("body", ["{}", '{"x": 1}', "x=1"])
async def test_a_stranger_is_asked_for_a_key_before_anything_is_said_of_what_they_send(
    house: House, body: str
) -> None:
    for row, kind in ROWS.items():
        method, path = row.split(" ", 1)
        if method == "GET" or kind == "open":
            continue
        host = {"host": "192.168.1.10:8000"}
        answer = await house.ask(method, filled(path), host, "10.9.0.2", body)
        assert outcome(answer) == ("forbidden" if path == "/generate" else "asked for a key"), row


async def test_heads_open_nothing_that_a_get_does_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "render", lambda *_, **__: "")
    for visitor in await visitors(house):
        for row in [row for row in ROWS if row.startswith("GET ")]:
            path, headers = filled(row.split(" ", 1)[1]), await visitor.headers()
            status, _ = await house.ask("HEAD", path, headers, visitor.address(), "")
            opened = status < 300 and visitor.expected(ROWS[row], "HEAD") != "in"
            assert not opened, f"HEAD {path} answered {status} to {visitor.name}"


@pytest.mark.parametrize("visitor", ["stranger", "foreign page"])
async def test_other_methods_open_nothing_and_no_other_site_is_let_in(
    house: House, visitor: str
) -> None:
    """Before a foreign page sends a key or JSON a browser asks by OPTIONS; it never hears yes."""
    stranger, address = {"host": "192.168.1.10:8000"}, "10.9.0.1"
    if visitor == "foreign page":
        stranger, address = HERE | FOREIGN, "127.0.0.1"
        stranger |= {"access-control-request-method": "POST"}
        stranger |= {"access-control-request-headers": "authorization, content-type"}
    for row, kind in ROWS.items():
        path = filled(row.split(" ", 1)[1])
        for method in ("OPTIONS", "TRACE", "PATCH", "PUT"):
            status, headers = await house.ask(method, path, stranger, address)
            opened = status < 300 and kind != "open"
            assert not opened, f"{method} {path} answered {status} to a {visitor}"
            assert not [name for name in headers if name.startswith("access-control-")]


async def test_there_are_no_websockets(house: House) -> None:
    for row in ROWS:
        said: list[object] = []

        async def send(message: dict[str, object], said: list[object] = said) -> None:
            said.append(message["type"])

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        path = filled(row.split(" ", 1)[1])
        scope = house.scope("websocket", path, HERE, "127.0.0.1")
        scope |= {"scheme": "ws", "subprotocols": []}
        await house.app(scope, receive, send)  # type: ignore[arg-type]
        assert said == ["websocket.close"], path
