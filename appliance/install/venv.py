"""Makes the virtual environment, and tells a living one from a broken one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from appliance.install.completeness import interpreter_exists, python_of
from appliance.install.project import SetupFailed

LOCK = "appliance.lock"
LOG = "setup.log"


def make_venv(venv: Path) -> Path:
    """Creates the environment, or keeps the one that is there if its Python and pip run."""
    python = python_of(venv)
    if interpreter_exists(venv) and _runs(python, "-m", "pip", "--version"):
        return python
    _clear(venv)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False
    )
    if made.returncode == 0:
        return python
    said = (made.stdout + made.stderr).strip()
    if "ensurepip" in said:
        raise SetupFailed(
            "This Python comes without its venv module. On Debian and Ubuntu: "
            "sudo apt install python3-venv, then run the same command again."
        )
    raise SetupFailed(f"An environment could not be made in {venv}: {said[-300:]}")


def forget_half_installed(venv: Path) -> None:
    """pip trusts a package's metadata; it writes INSTALLER only when all files are in place."""
    for metadata in venv.glob("[lL]ib*/**/site-packages/*.dist-info"):
        if not (metadata / "INSTALLER").exists():
            shutil.rmtree(metadata)


def first_imports(python: Path, root: Path, modules: tuple[str, ...]) -> None:
    """Imports each module once in a process of its own, so that Python compiles and keeps it.

    A module that cannot be imported is no trouble here: who needs it will say so, in words.
    """
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    running = [
        subprocess.Popen(
            [str(python), "-P", "-c", f"import {module}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module in modules
    ]
    for process in running:
        process.wait()


def _clear(venv: Path) -> None:
    """Empties the folder but for the lock that is held and the log that may be asked for."""
    for entry in venv.iterdir():
        if entry.name in (LOCK, LOG):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _runs(python: Path, *arguments: str) -> bool:
    try:
        result = subprocess.run([str(python), "-I", *arguments], capture_output=True, check=False)
    except OSError:
        return False
    return result.returncode == 0
