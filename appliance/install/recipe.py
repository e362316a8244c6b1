"""What to install, in which order, and the digest that tells whether it was.

Reads the project's own lists (`pyproject.toml`, `constraints.txt`, `requirements-data.txt`) and
decides; it runs nothing. Small steps come first, so that trouble with the network shows early.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from appliance.install.machine import Card

PYTORCH_INDEX = "https://download.pytorch.org/whl/"
GB = 1_000_000_000

FIRST_IMPORTS = (
    "appliance.app",
    "appliance.engine.worker.backends.openvino",
    "appliance.engine.worker.backends.transformers",
)
"""Between them these import what a start needs."""

_WITHOUT_TORCH = (
    "PyTorch for processors could not be had; going on without it, OpenVINO serves the models. "
    "To try again, delete .venv."
)


class SetupFailed(Exception):
    """Set-up cannot go on. The text is one sentence or two for the owner: what, and what to do."""


@dataclass(frozen=True)
class Step:
    """One run of pip. `attempts` are argument lists, tried in turn until one succeeds.

    A step with `otherwise` may fail: that sentence is said, and steps that name it in `needs`
    are left out.
    """

    name: str
    title: str
    attempts: tuple[tuple[str, ...], ...]
    otherwise: str | None = None
    needs: str | None = None


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


def steps(project: Project, groups: Iterable[str], card: Card, platform: str) -> list[Step]:
    """The way from an empty environment to a complete one for `groups` ("start", "test")."""
    lists = project.lists
    plan = [
        _simple("installer", "Installer", lists),
        _simple("base", "Web server, pages and ledger", lists),
        _data(project),
        _simple("openvino", "OpenVINO, the engine for processors", lists),
        *_torch(lists, card, platform),
    ]
    if "test" in groups:
        plan.append(_simple("test", "Test tools", lists))
    return [step for step in plan if step.attempts[0]]


def disk_needed(card: Card) -> int:
    """Bytes a complete environment takes, with what pip needs besides while it unpacks."""
    return 9 * GB if card.usable else 3 * GB


def _simple(name: str, title: str, lists: dict[str, list[str]]) -> Step:
    return Step(name, title, (tuple(lists.get(name, ())),))


def _data(project: Project) -> Step:
    files = ("--no-deps", "--require-hashes", "--requirement", str(project.data))
    return Step("data", "Demo model and page scripts", (files if project.data.exists() else (),))


def _torch(lists: dict[str, list[str]], card: Card, platform: str) -> list[Step]:
    extra = lists.get("transformers", [])
    torch = next((item for item in extra if item.startswith("torch==")), None)
    if torch is None:
        return []
    others = tuple(item for item in extra if item != torch)
    attempts = _cuda_torch(torch, platform) if card.usable else _processor_torch(torch, platform)
    otherwise = None if card.usable else _WITHOUT_TORCH
    return [
        Step("torch", "PyTorch", attempts, otherwise),
        Step("transformers", "Transformers", (others,), otherwise, needs="torch"),
    ]


def _cuda_torch(torch: str, platform: str) -> tuple[tuple[str, ...], ...]:
    if platform == "win32":
        return ((f"{torch}+cu130", "--extra-index-url", f"{PYTORCH_INDEX}cu130"),)
    # Three signs: exactly the released build, not a "+cpu" one that counts as newer.
    return ((torch.replace("==", "==="),),)


def _processor_torch(torch: str, platform: str) -> tuple[tuple[str, ...], ...]:
    if platform != "linux":
        return ((torch,),)
    # On Linux the released build brings gigabytes of CUDA along.
    return (f"{torch}+cpu",), (f"{torch}+cpu", "--extra-index-url", f"{PYTORCH_INDEX}cpu")
