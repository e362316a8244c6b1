"""Which appliances share a queue: those before one engine, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.in_common import engine_scope
from appliance.settings import Settings, load_settings
from tests.live import ROOT


def settings(folder: Path, **flags: str) -> Settings:
    folder.mkdir(exist_ok=True)
    return load_settings({"data_dir": folder, "redis_url": "redis://127.0.0.1", **flags}, {})


def test_fronts_of_one_engine_share_its_queue_and_others_do_not(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert engine_scope(settings(here)) == engine_scope(settings(here, port="9000"))
    assert engine_scope(settings(here)) != engine_scope(settings(there))
    remote = {"engine": "remote", "engine_url": "http://engine:8000"}
    assert engine_scope(settings(here, **remote)) == engine_scope(settings(there, **remote))
    other = remote | {"engine_url": "http://engine:8001"}
    assert engine_scope(settings(here, **remote)) != engine_scope(settings(here, **other))


def test_without_an_address_nothing_of_redis_is_loaded() -> None:
    code = "import sys, appliance.parts; print('redis' in sys.modules)"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
