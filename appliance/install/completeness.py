"""Tells whether an environment is complete; every start asks this first.

A stamp, written last, is the only sign of completeness: without it, whatever lies in `.venv` is
gone over again, which costs seconds where packages are there already.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from appliance.install.machine import driver_sign
from appliance.install.project import Project

_STAMP = "appliance.json"


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def interpreter_exists(venv: Path) -> bool:
    """False after the system's Python was upgraded or removed. Looks, but starts nothing."""
    try:
        lines = (venv / "pyvenv.cfg").read_text("utf-8").splitlines()
    except OSError:
        return False
    values = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return python_of(venv).exists() and Path(values.get("executable", "")).exists()


def complete(project: Project, groups: set[str]) -> Path | None:
    """The environment's Python if its set-up for `groups` is finished and of today, else None."""
    try:
        stamp = json.loads((project.venv / _STAMP).read_text("utf-8"))
        fitting = stamp["digest"] == project.digest(driver_sign())
        done = fitting and groups <= set(stamp["groups"])
    except (OSError, ValueError, KeyError):
        return None
    return python_of(project.venv) if done and interpreter_exists(project.venv) else None


def active(project: Project, groups: set[str]) -> Path | None:
    """The Python that runs this, if it is of an environment that has every pinned package.

    Requirements that hold only on some systems are not looked for.
    """
    if sys.prefix == sys.base_prefix or Path(sys.prefix).resolve() == project.venv.resolve():
        return None
    from importlib import metadata  # 20 ms that the usual start need not spend

    lists = ["base", "openvino", "transformers", *(groups - {"start"})]
    wanted = [item for group in lists for item in project.lists.get(group, ())]
    names = {item.partition("==")[0] for item in wanted if ";" not in item}
    for name in names | project.data_names:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            return None
        if version.partition("+")[0] != project.pins.get(name):
            return None
    return Path(sys.executable)


def remove_stamp(project: Project) -> None:
    (project.venv / _STAMP).unlink(missing_ok=True)


def write_stamp(project: Project, groups: set[str]) -> None:
    stamp = {"digest": project.digest(driver_sign()), "groups": sorted(groups)}
    draft = project.venv / f"{_STAMP}.draft"
    draft.write_text(json.dumps(stamp), "utf-8")
    os.replace(draft, project.venv / _STAMP)  # noqa: PTH105, named for what it is: atomic
