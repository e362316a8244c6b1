"""The reference parts of the documentation are what the code says."""

from __future__ import annotations

import subprocess
import sys

from tests.live import ROOT


def test_settings_and_routes_are_as_the_code_has_them() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "reference.py")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
