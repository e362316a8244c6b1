"""From the launcher's first line to the process that does the work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from appliance.install.completeness import active, complete
from appliance.install.project import Project, SetupFailed

# Most tests wait for something; `tests/conftest.py` says which ones stay together.
WHOLE_SUITE = ["--numprocesses=2", "--dist=loadgroup", "--no-loadscope-reorder"]


def launch(root: str, arguments: list[str]) -> int:
    """Finds or makes the environment and runs the command in it. Returns its exit status."""
    project = Project(Path(root))
    testing = arguments[:1] == ["test"]
    groups = {"start", "test"} if testing else {"start"}
    try:
        python = active(project, groups) or complete(project, groups) or _prepare(project, groups)
    except SetupFailed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    if testing:
        os.chdir(root)
        return _become(python, ["-m", "pytest", *(arguments[1:] or WHOLE_SUITE)], root)
    return _become(python, ["-m", "appliance.cli", *arguments], root)


def _prepare(project: Project, groups: set[str]) -> Path:
    from appliance.install.environment import prepare  # not for the usual start, which is quick

    return prepare(project, groups)


def _become(python: Path, arguments: list[str], root: str) -> int:
    """Replaces this process; on Windows, which cannot, waits for a child and passes on its status.

    `-P` keeps the reader's current folder out of the search for modules.
    """
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([root, inherited] if inherited else [root])
    command = [str(python), "-P", *arguments]
    if sys.platform == "win32":
        return _wait_for(command)
    sys.stdout.flush()
    return os.execv(python, command)  # noqa: S606, our own interpreter


def _wait_for(command: list[str]) -> int:
    import subprocess

    os.environ.setdefault("PYTHONUTF8", "1")
    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            # Ctrl-C reached the child too; it knows how to end in order.
            continue
