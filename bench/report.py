"""What stands around every figure: the machine, the versions, and tables in Markdown."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from bench.contestants import version_of_the_code

# What decides how fast a CPU multiplies matrices.
_FLAGS = {
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
}
_PACKAGES = ("openvino-genai", "transformers", "torch", "bitsandbytes")


def heading(title: str) -> str:
    """Title, date, machine and versions: the first lines of a record."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = " ".join([f"python -m {_module()}", *sys.argv[1:]])
    machine = (
        f"{cpu()}, {os.cpu_count()} cores, load {load()} at the start, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    return (
        f"## {title}\n\n{now}; commit {version_of_the_code()}; `{command}`\n\n"
        f"**Machine:** {machine}. **Versions:** {', '.join(installed())}.\n"
    )


def cpu() -> str:
    """Its name and those of its abilities that matter here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    stripped = {name.strip(): value.strip() for name, value in facts.items()}
    has = stripped.get("flags", "").split()
    flags = " ".join(flag for flag in has if flag in _FLAGS)
    return f"{stripped.get('model name', platform.machine())} ({flags})"


def load() -> str:
    """Processes that wanted a core over the last minute; a figure at 2 of 2 cores is worth less."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def installed(packages: Sequence[str] = _PACKAGES) -> list[str]:
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The first column is words, the others are numbers."""
    lines = [heads, ["--", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(map(markdown_row, lines))


def markdown_row(cells: Sequence[object]) -> str:
    """One more row, for a table that is printed as it grows."""
    return f"| {' | '.join(map(str, cells))} |"


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """`median (least–most)`: one figure hides how noisy the machine was."""
    least, middle, most = (format(v, form) for v in (min(values), median(values), max(values)))
    return f"{middle} ({least}–{most})"


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else "bench"
