"""The project's own lists, and the digest that tells whether they were installed.

Every start reads this, so it imports little.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cached_property
from pathlib import Path


class SetupFailed(Exception):
    """Set-up cannot go on. The text is one sentence or two for the owner: what, and what to do."""


class Project:
    """The folder that holds `launcher.py`, and what its lists say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.constraints = root / "constraints.txt"
        self.data = root / "requirements-data.txt"

    @cached_property
    def lists(self) -> dict[str, list[str]]:
        """Requirements by group: `base`, and each extra by its name."""
        import tomllib

        project = tomllib.loads((self.root / "pyproject.toml").read_text("utf-8"))["project"]
        return {"base": project["dependencies"], **project.get("optional-dependencies", {})}

    @cached_property
    def pins(self) -> dict[str, str]:
        """Version by package name, of the constraints and the data wheels."""
        lines = [*self._lines(self.constraints), *self._lines(self.data)]
        pairs = (line.split()[0].partition("==") for line in lines if "==" in line)
        return {name: version for name, _, version in pairs}

    @cached_property
    def data_names(self) -> set[str]:
        """Packages that only carry files."""
        return {line.partition("==")[0] for line in self._lines(self.data)}

    @staticmethod
    def _lines(file: Path) -> list[str]:
        text = file.read_text("utf-8") if file.exists() else ""
        return [line for line in text.splitlines() if line and not line.startswith(("#", " "))]

    def digest(self, driver_sign: str) -> str:
        """Changes whenever a finished set-up would no longer be the right one."""
        digest = hashlib.sha256(json.dumps([sys.platform, driver_sign, self.lists]).encode())
        for file in (self.constraints, self.data):
            digest.update(file.read_bytes() if file.exists() else b"")
        return digest.hexdigest()
