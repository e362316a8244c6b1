"""Brings the environment to completeness."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from appliance.install import machine
from appliance.install.completeness import complete, remove_stamp, write_stamp
from appliance.install.lock import locked
from appliance.install.pip import explain, install
from appliance.install.progress import Progress
from appliance.install.project import Project, SetupFailed
from appliance.install.recipe import FIRST_IMPORTS, GB, Step, disk_needed, steps
from appliance.install.venv import LOCK, LOG, first_imports, forget_half_installed, make_venv


def prepare(project: Project, groups: set[str]) -> Path:
    """Brings `.venv` to completeness for `groups` and returns its Python.

    Raises SetupFailed with a sentence for the owner. Safe to interrupt at any point, and to run
    twice at once: the second waits for the first.
    """
    try:
        project.venv.mkdir(exist_ok=True)
        with locked(project.venv / LOCK):
            return complete(project, groups) or _set_up(project, groups)
    except PermissionError as error:
        raise SetupFailed(f"{error.filename} cannot be written; check who owns it.") from None
    except OSError as error:
        raise SetupFailed(explain([str(error)]) or f"Set-up failed: {error}") from None


def _set_up(project: Project, groups: set[str]) -> Path:
    began = time.monotonic()
    card = machine.find_card()
    print(f"Setting up in {project.venv} (once): {card.in_words()}.", flush=True)
    remove_stamp(project)
    check_disk(project.venv, disk_needed(card))
    plan = steps(project, groups, card, sys.platform)
    total = len(plan) + 2
    progress = Progress(f" 1/{total} Environment")
    python = make_venv(project.venv)
    forget_half_installed(project.venv)
    progress.end()
    left_out: set[str] = set()
    for number, step in enumerate(plan, start=2):
        place = f"{number:2}/{total}"
        if step.needs in left_out:
            Progress(f"{place} {step.title}").end("left out")
        elif not _run(project, python, step, place):
            left_out.add(step.name)
    progress = Progress(f"{total:2}/{total} First imports")
    first_imports(python, project.root, FIRST_IMPORTS)
    progress.end()
    shutil.rmtree(project.venv / "tmp", ignore_errors=True)
    write_stamp(project, groups)
    size = machine.folder_bytes(project.venv) / GB
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"Ready after {minutes} min {seconds} s; {size:.1f} GB on disk.\n", flush=True)
    return python


def _run(project: Project, python: Path, step: Step, place: str) -> bool:
    """False when a step that may fail did. Raises SetupFailed when another does."""
    # pip tells percentages from 24.1 on, which only the pinned one is sure to be.
    pinned = step.name != "installer" and "installer" in project.lists
    progress = Progress(f"{place} {step.title}", percentages=pinned)
    log = project.venv / LOG
    for attempt in step.attempts:
        outcome = install(python, attempt, project.constraints, log, progress)
        if outcome.succeeded:
            progress.end()
            return True
    progress.end("left out" if step.otherwise else "failed")
    if step.otherwise is None:
        raise SetupFailed(f"{step.title}: {outcome.sentence()}\nAll of pip's words: {log}")
    print(f"      {step.otherwise}", flush=True)
    return False


def check_disk(folder: Path, needed: int) -> None:
    """Raises SetupFailed with the numbers when `needed` bytes, less what is there, are not free."""
    needed -= machine.folder_bytes(folder)
    free = machine.free_bytes(folder)
    if free < needed:
        raise SetupFailed(
            f"Set-up needs about {needed / GB:.1f} GB more in {folder.parent}, and "
            f"{free / GB:.1f} GB are free. Make room, then run the same command again."
        )
