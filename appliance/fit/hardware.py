"""What a machine has, as plain values. Knows no driver and no model; `probe` fills it in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from appliance.domain import Phrase

GIB = 1024**3
MIB = 1024**2

REQUIRED_CUDA = (13, 0)
"""The CUDA generation of the PyTorch build that we install; older drivers cannot run it."""
REQUIRED_DRIVER = 580
"""First driver branch that speaks `REQUIRED_CUDA`, on Linux and on Windows."""
REQUIRED_CAPABILITY = (7, 5)
"""CUDA 13 dropped everything before Turing (GTX 16, RTX 20)."""
BF16_CAPABILITY = (8, 0)
"""Ampere (RTX 30) computes in bfloat16; Turing has only float16."""
FP8_CAPABILITY = (8, 9)
"""Ada (RTX 40) multiplies 8-bit floats; older cards would only unpack them."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA card as its driver describes it. `index` is the driver's, by PCI order.

    `cuda_driver` is the newest CUDA version that the driver can run. CUDA counts cards in
    another order than the driver does, so a process is tied to a card by `uuid`.
    """

    index: int
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: tuple[int, int]
    driver_version: str
    cuda_driver: tuple[int, int]
    uuid: str = ""

    @property
    def has_bf16(self) -> bool:
        return self.compute_capability >= BF16_CAPABILITY

    @property
    def has_fp8(self) -> bool:
        return self.compute_capability >= FP8_CAPABILITY


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine, or the part of it that a container may use.

    `notices` says what the probe could not find out, in words for the owner. `has_torch`: set-up
    goes on without PyTorch where no build for processors can be had.
    """

    gpus: tuple[Gpu, ...]
    ram_total_bytes: int
    ram_available_bytes: int
    cores_physical: int
    cores_logical: int
    disk_free_bytes: int
    platform: str
    machine: str
    notices: tuple[Phrase, ...] = ()
    has_torch: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Values that `json.dumps` takes; notices become English sentences."""
        return asdict(self) | {"notices": [str(notice) for notice in self.notices]}


def obstacle(gpu: Gpu) -> Phrase | None:
    """Why our CUDA build cannot run on this card, or None when it can."""
    if gpu.cuda_driver < REQUIRED_CUDA:
        return Phrase(
            "The driver of %(card)s (%(driver)s) is older than CUDA %(cuda)s needs: "
            "install NVIDIA driver %(required)s or newer to use the card.",
            {
                "card": gpu.name,
                "driver": gpu.driver_version,
                "cuda": REQUIRED_CUDA[0],
                "required": REQUIRED_DRIVER,
            },
        )
    if gpu.compute_capability < REQUIRED_CAPABILITY:
        return Phrase(
            "%(card)s is too old: its compute capability is %(found)s, and CUDA %(cuda)s needs "
            "%(required)s (GTX 16 or RTX 20 series) or newer.",
            {
                "card": gpu.name,
                "found": dotted(gpu.compute_capability),
                "cuda": REQUIRED_CUDA[0],
                "required": dotted(REQUIRED_CAPABILITY),
            },
        )
    return None


def gib(size: float) -> str:
    """A size for people: `6.9 GiB`."""
    return f"{size / GIB:.1f} GiB"


def dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
