from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, func, select

from appliance.domain import Timings, Usage
from appliance.ledger import retention
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder
from appliance.ledger.tables import GenerationRecord, RequestRecord
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)


def record(recorder: Recorder, age: timedelta) -> None:
    request, generation = new_id(), new_id()
    recorder.open_request(
        id=request,
        created_at=NOW - age,
        method="POST",
        path="/generate",
        client_ip="127.0.0.1",
        user_agent="test",
    )
    recorder.open_generation(
        id=generation,
        request_id=request,
        model="m",
        precision="bf16",
        engine="transformers",
        parameters={},
        input="secret words",
    )
    recorder.close_generation(
        generation,
        output="x",
        reasoning="",
        usage=Usage(1, 1),
        timings=Timings(0, 1, 2),
        finish_reason="stop",
        error=None,
    )


async def test_old_rows_go_with_their_generations_and_young_ones_stay(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for days in (1, 5, 31, 32, 33, 34, 400):
        record(ledger.recorder, timedelta(days=days))
    assert await retention.sweep(ledger.writer, NOW - timedelta(days=30)) == 5

    def counts(session: Session) -> tuple[int, int]:
        requests = session.exec(select(func.count()).select_from(RequestRecord)).one()
        generations = session.exec(select(func.count()).select_from(GenerationRecord)).one()
        return requests, generations

    assert await ledger.database.read(counts) == (2, 2)
