"""What a page says when the ledger cannot keep anything."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from tests.web.site import Site

pytestmark = pytest.mark.anyio


async def test_a_question_that_cannot_be_kept_says_why_and_is_not_half_there(
    site: Site, client: httpx2.AsyncClient
) -> None:
    full = OperationalError("INSERT", {}, Exception("database or disk is full"))

    def commit(_connection: Any) -> None:
        raise full

    event.listen(site.database.engine, "commit", commit)
    answer = await client.post("/chat", data={"prompt": "Hello"})
    event.remove(site.database.engine, "commit", commit)
    assert answer.status_code == 507
    assert "This could not be saved: database or disk is full." in answer.text
    assert list((await site.parts.conversations.list("owner")).rows) == []
