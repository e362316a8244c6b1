"""The row of every request, and what the client calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from ulid import ULID

from appliance.gateway.http import LONGEST_CLIENT_ID, Recording
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = Ledger(tmp_path / "appliance.db")
    yield made
    made.close()


async def ask(ledger: Ledger, *headers: tuple[bytes, bytes]) -> str:
    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("Hello.")

    app = Recording(Starlette(routes=[Route("/", hello)]), ledger=ledger.recorder)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.get("/", headers=list(headers))
    return str(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("sent", "noted"),
    [
        ("trace-7/β", "trace-7/β"),
        ("x" * LONGEST_CLIENT_ID, "x" * LONGEST_CLIENT_ID),
        ("x" * (LONGEST_CLIENT_ID + 1), None),
        ("two\tcolumns", None),
        ("", None),
    ],
)
async def test_the_clients_id_is_noted_and_never_used(
    ledger: Ledger, sent: str, noted: str | None
) -> None:
    ours = await ask(ledger, (b"x-request-id", sent.encode()))
    assert str(ULID.from_str(ours)) == ours
    assert ours != sent
    found = await ledger.queries.request(ours, owner=None)
    assert found is not None
    assert found.request.client_request_id == noted


async def test_what_is_no_text_is_not_noted(ledger: Ledger) -> None:
    found = await ledger.queries.request(await ask(ledger, (b"x-request-id", b"\xff")), owner=None)
    assert found is not None
    assert (found.request.status, found.request.client_request_id) == (200, None)
