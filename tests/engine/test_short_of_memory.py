"""A card that holds less than was planned: a true plan, and processes that say so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.engine import orders
from appliance.engine.supervisor import Supervisor
from appliance.engines import PlanOrders
from appliance.fit.catalogue import load_catalogue
from appliance.fit.plan import plan
from appliance.fit.wish import Wish
from appliance.settings import Settings
from tests.engine.supervised import PRELUDE, seen
from tests.fit.machines import card, machine

pytestmark = pytest.mark.anyio

WORKER = """
say(event="listening", port=4711)
if order["precision"] == "int8" and order["kv_tokens"] > {most}:
    say(event="failed", code="out_of_memory", message="200 MiB are missing.")
    sys.exit(1)
say(event="ready", facts=dict(model=order["model"], backend=order["backend"], engine_version="1",
    precision=order["precision"], context_length=order["context_length"],
    kv_tokens=order["kv_tokens"], max_concurrency=order["max_concurrency"], capabilities=[]))
sys.stdin.read()
"""


@pytest.mark.parametrize(("most", "precision"), [(38_000, "int8"), (10_000, "nf4")])
async def test_there_is_less_cache_before_there_is_a_lighter_format(
    most: int, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = PRELUDE + WORKER.format(most=most)
    monkeypatch.setattr(orders, "WORKER_COMMAND", (sys.executable, "-c", script))
    planned = plan(machine(card(15.3)), Wish(), load_catalogue(), find_config=lambda _: None)
    choices = PlanOrders(planned, Settings.model_validate({}), cache_dir=str(tmp_path))
    engine = Supervisor(choices, log_path=tmp_path / "engine.log", idle_seconds=None)
    await engine.start()
    status = await seen(engine, lambda s: s.phase == "ready")
    await engine.stop()
    assert status.facts is not None
    assert (status.facts.model, status.facts.precision) == ("Qwen3-8B", precision)
    if precision == "int8":
        assert most - 3_000 < status.facts.kv_tokens <= most
        assert status.facts.context_length == 32_768
    assert "200 MiB are missing" in str(status.notice)
    assert "runs in another way" in str(status.notice)
