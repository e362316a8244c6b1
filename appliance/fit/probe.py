"""Looks at this machine: cards, memory, cores, disk. Nothing is loaded and nothing is written.

Inside a container the kernel still shows the whole machine, so the control group's limits are
taken into account: a plan for memory that we may not use would end in a kill.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

import psutil

from appliance.fit.hardware import Hardware
from appliance.fit.nvidia import find_gpus

CGROUP = Path("/sys/fs/cgroup")


def probe(data_dir: Path, *, cgroup: Path = CGROUP) -> Hardware:
    """This machine now. `data_dir` need not exist yet: its disk is asked for free space."""
    gpus, notices = find_gpus()
    total, available = _memory(cgroup)
    logical = _usable_cores(cgroup)
    return Hardware(
        gpus=gpus,
        ram_total_bytes=total,
        ram_available_bytes=available,
        cores_physical=min(psutil.cpu_count(logical=False) or logical, logical),
        cores_logical=logical,
        disk_free_bytes=shutil.disk_usage(_nearest_existing(data_dir)).free,
        platform=platform.system().lower(),
        machine=platform.machine(),
        notices=notices,
        has_torch=find_spec("torch") is not None,
    )


def _memory(cgroup: Path) -> tuple[int, int]:
    """Bytes of RAM: all, and what can be taken now without swapping."""
    memory = psutil.virtual_memory()
    limit = _number(cgroup / "memory.max")
    used = _number(cgroup / "memory.current")
    if limit is None or used is None or limit >= memory.total:
        return int(memory.total), int(memory.available)
    # File cache counts as used in a control group, yet is given up on demand.
    used -= min(_inactive_file(cgroup), used)
    return limit, max(0, min(int(memory.available), limit - used))


def _inactive_file(cgroup: Path) -> int:
    for line in _lines(cgroup / "memory.stat"):
        name, _, value = line.partition(" ")
        if name == "inactive_file" and value.isdecimal():
            return int(value)
    return 0


def _usable_cores(cgroup: Path) -> int:
    """Cores that the scheduler will really give us, at least one."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    for line in _lines(cgroup / "cpu.max"):
        quota, _, period = line.partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def _number(path: Path) -> int | None:
    """A control group's number, or None when it is absent or `max`."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return []


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
