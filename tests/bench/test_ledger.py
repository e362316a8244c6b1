"""The bench of a large ledger on a small one: what it fills is a ledger, and all is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.ledger.doctor import examine
from bench import ledger


def test_a_ledger_is_filled_recorded_to_and_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ASKED_EACH", 1)
    monkeypatch.setattr(ledger, "RECORDED", 12)
    url = f"sqlite:///{tmp_path / 'appliance.db'}"
    told = ledger.measure(url, 300)
    for part in (
        "### SQLite",
        "**Requests:** 300.",
        "0 rows lost",
        "| search: eight Chinese signs",
    ):
        assert part in told
    assert [finding.text for finding in examine(url) if finding.level == "bad"] == []
    assert "**Requests:** 312." in ledger.measure(url, 300), "what is there is measured again"
