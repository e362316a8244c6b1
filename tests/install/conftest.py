"""A small project that is set up for real: the same launcher, real pip, and wheels made here.

Two wheels of a few bytes stand for the hundred of the appliance, so that nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Launch = Callable[..., "subprocess.CompletedProcess[str]"]

CLI = """\
import json, os, sys
import greeting
print(json.dumps({"arguments": sys.argv[1:], "prefix": sys.prefix, "folder": os.getcwd(),
                  "greeting": greeting.VERSION}))
sys.exit(7 if "fail" in sys.argv else 0)
"""


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """A package of one module that knows its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for name, version in (("greeting", "1.0"), ("greeting", "2.0"), ("cargo", "1.0")):
        make_wheel(folder, name, version)
    return folder


@pytest.fixture(scope="session")
def pip_settings(wheels: Path) -> dict[str, str]:
    """The environment of a user whose pip finds its packages in one folder."""
    names = ("PIP_", "PYTHON", "VIRTUAL_ENV", "COV_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(names)}
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_RETRIES": "0",
    }


@pytest.fixture(scope="session")
def launch(pip_settings: dict[str, str]) -> Launch:
    def run(
        project: Path,
        *arguments: str,
        python: str | Path = sys.executable,
        cwd: Path | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), str(project / "launcher.py"), *arguments],
            env={**pip_settings, **environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )

    return run


def write_lists(project: Path, wheels: Path, version: str = "1.0") -> None:
    digest = hashlib.sha256((wheels / "cargo-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    (project / "pyproject.toml").write_text('[project]\ndependencies = ["greeting"]\n', "utf-8")
    (project / "constraints.txt").write_text(f"greeting=={version}\n", "utf-8")
    (project / "requirements-data.txt").write_text(f"cargo==1.0 --hash=sha256:{digest}\n", "utf-8")


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory, wheels: Path, launch: Launch) -> Path:
    project = tmp_path_factory.mktemp("finished") / "project"
    _write_project(project, wheels)
    result = launch(project)
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def _write_project(project: Path, wheels: Path) -> None:
    package = project / "appliance"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "launcher.py", project)
    shutil.copy(ROOT / "appliance" / "__init__.py", package)
    shutil.copytree(
        ROOT / "appliance" / "install",
        package / "install",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (package / "cli.py").write_text(CLI, "utf-8")
    write_lists(project, wheels)


@pytest.fixture
def bare(tmp_path: Path, wheels: Path) -> Path:
    """A fresh clone."""
    _write_project(tmp_path / "bare", wheels)
    return tmp_path / "bare"


@pytest.fixture
def finished(tmp_path: Path, _finished: Path) -> Path:
    """A project whose set-up is complete; each test has its own."""
    return shutil.copytree(_finished, tmp_path / "finished", symlinks=True)
