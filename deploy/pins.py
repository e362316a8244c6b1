"""Writes constraints.txt anew: every version of everything, for all systems and Pythons we support.

    python deploy/pins.py             the newest versions pyproject.toml allows
    python deploy/pins.py NAME …      only these packages move, the others stay where they are

Needs `uv` on the PATH and the public package index; nothing else in the project does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "constraints.txt"
HEADER = """\
# Every version of everything, for Linux, Windows and macOS and Python 3.11 to 3.13.
# Written by deploy/pins.py from pyproject.toml; do not edit by hand.
"""


def command(uv: str, names: list[str]) -> list[str]:
    moves = [f"--upgrade-package={name}" for name in names] or ["--upgrade"]
    return [
        uv, "pip", "compile", "--universal", "--python-version=3.11", "--fork-strategy=fewest",
        "--all-extras", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet",
        f"--output-file={TARGET.name}", *moves, "pyproject.toml",
    ]  # fmt: skip


def without_needless_markers(lines: list[str]) -> list[str]:
    """A constraint only speaks when its package is wanted, so a lone version needs no marker."""
    count = Counter(line.partition("==")[0] for line in lines)
    return [
        line.partition(" ; ")[0] if count[line.partition("==")[0]] == 1 else line for line in lines
    ]


def main(names: list[str]) -> int:
    uv = shutil.which("uv")
    if uv is None:
        print("pins.py needs uv: https://docs.astral.sh/uv/")
        return 1
    status = subprocess.run(command(uv, names), cwd=ROOT, check=False).returncode
    if status == 0:
        lines = without_needless_markers(TARGET.read_text("utf-8").splitlines())
        TARGET.write_text(HEADER + "\n".join(lines) + "\n", "utf-8")
        print(f"{TARGET.name}: {len(lines)} packages")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
