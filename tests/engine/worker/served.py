"""A server that the contract is asked of: a worker, or the appliance before one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.engine.worker.running import PATIENCE_SECONDS
from tests.live import ROOT


@dataclass(frozen=True)
class Served:
    url: str
    key: str
    model: str

    @property
    def is_appliance(self) -> bool:
        return self.key.startswith("sk-appl-")

    def client(self, key: str | None = "") -> httpx2.AsyncClient:
        """With the right key, another one, or None for none."""
        key = self.key if key == "" else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False
        )


def new_key(data_dir: Path) -> str:
    """The secret of a key, made on the command line."""
    command = [sys.executable, "-m", "appliance.cli", "keys", "create", "contract"]
    made = subprocess.run(
        [*command, "--data-dir", str(data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return next(word for word in made.stdout.split() if word.startswith("sk-appl-"))
