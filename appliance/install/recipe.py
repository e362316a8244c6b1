"""What to install, from where and in which order. Decides, and runs nothing.

Small steps come first, so that trouble with the network shows early.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.install.machine import Card
from appliance.install.project import Project

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
