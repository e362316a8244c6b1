"""A driver with exact readings: one card that tells all, one that keeps what laptops keep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

GB = 1_000_000_000
CARDS = 2


class NVMLError(Exception):
    """The driver's own error."""


class ScriptedNvml:
    """What of `pynvml` is used. `ill` is raised by every question while it is set."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        self.ill: Exception | None = None
        self.opened = 0

    def _ask(self) -> None:
        if self.ill is not None:
            raise self.ill

    def nvmlInit(self) -> None:  # noqa: N802 - the driver's names
        self._ask()
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._ask()

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._ask()
        return CARDS

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, card: int) -> bytes | str:  # noqa: N802
        return b"RTX old" if card else "RTX new"

    def nvmlDeviceGetMemoryInfo(self, card: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=6 * GB, total=8 * GB, free=2 * GB)

    def nvmlDeviceGetUtilizationRates(self, card: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=83, memory=40)

    def nvmlDeviceGetPowerUsage(self, card: int) -> int:  # noqa: N802
        return self._unless_shy(card, 95_500)

    def nvmlDeviceGetTotalEnergyConsumption(self, card: int) -> int:  # noqa: N802
        return self._unless_shy(card, 7_250_000)

    def nvmlDeviceGetTemperature(self, card: int, sensor: int) -> int:  # noqa: N802
        return 61 + sensor

    def _unless_shy(self, card: int, value: int) -> int:
        if card:
            raise NVMLError("Not Supported")
        return value
