"""What must be known of the computer before a single package is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

CUDA_NEEDED = 13000
"""The CUDA release our PyTorch is built with, as the driver counts: 1000 x major + 10 x minor."""

_DRIVER_SIGNS = (
    Path("/proc/driver/nvidia/version"),
    Path("/usr/lib/wsl/lib/libcuda.so.1"),
    Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvcuda.dll"),
)


class Card(NamedTuple):
    """NVIDIA cards that the driver sees, and the newest CUDA it can run (13000 is 13.0)."""

    cards: int = 0
    cuda: int = 0

    @property
    def usable(self) -> bool:
        return self.cards > 0 and self.cuda >= CUDA_NEEDED

    def in_words(self) -> str:
        if self.cards == 0:
            return "no NVIDIA card"
        release = f"{self.cuda // 1000}.{self.cuda % 1000 // 10}"
        if self.usable:
            return f"NVIDIA card, CUDA {release}"
        return (
            f"an NVIDIA card whose driver only knows CUDA {release}: update the driver "
            "to 580 or newer to use it; until then the processor does the work"
        )


def find_card() -> Card:
    """Asks NVIDIA's management library, which comes with the driver itself."""
    import ctypes

    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return Card()
    if nvml.nvmlInit_v2() != 0:
        return Card()
    count, cuda = ctypes.c_uint(), ctypes.c_int()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda))
    nvml.nvmlShutdown()
    return Card(count.value, cuda.value)


def driver_sign() -> str:
    """Changes when a driver comes, goes or is replaced. Cheaper than asking it: microseconds."""
    for sign in _DRIVER_SIGNS:
        try:
            # Files under /proc have no size, so their words must do.
            return f"{sign.name} {sign.stat().st_size or sign.read_text('utf-8')}"
        except OSError:
            continue
    return "no driver"


def free_bytes(folder: Path) -> int:
    import shutil

    return shutil.disk_usage(folder).free


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below, each link counted as itself."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118, walk gives text
    return total
