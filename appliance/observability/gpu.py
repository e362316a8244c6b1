"""NVIDIA cards as they are now, from their driver (NVML): load, memory, power, temperature.

Asked at each scrape and not before; a machine without a card, or with a driver that is ill, has
no readings and no error.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """Bytes, watts, degrees Celsius, joules; utilisation from 0 to 1. None: it does not say."""

    index: int
    name: str
    utilization: float | None
    memory_used: float | None
    memory_total: float | None
    power: float | None
    temperature: float | None
    energy: float | None


class Gpus:
    """Reads all cards. Keeps the driver open, and opens it anew after it was lost."""

    def __init__(self, driver: Any = None) -> None:
        self._driver = driver
        self._open = False

    def read(self) -> tuple[GpuReading, ...]:
        """Takes milliseconds and blocks: not for the event loop."""
        try:
            nvml = self._opened()
            return tuple(_reading(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
        except Exception:  # the driver's own errors, and whatever its absence raises
            self._close()
            return ()

    def _opened(self) -> Any:
        if self._driver is None:
            import pynvml

            self._driver = pynvml
        if not self._open:
            self._driver.nvmlInit()
            self._open = True
        return self._driver

    def _close(self) -> None:
        if self._open:
            self._open = False
            with suppress(Exception):
                self._driver.nvmlShutdown()


def _reading(nvml: Any, index: int) -> GpuReading:
    card = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(card)
    memory = nvml.nvmlDeviceGetMemoryInfo(card)

    def ask(question: Callable[..., Any], *more: Any) -> float | None:
        """Laptops' cards leave many questions open."""
        with suppress(nvml.NVMLError):
            return float(question(card, *more))
        return None

    load = ask(lambda one: nvml.nvmlDeviceGetUtilizationRates(one).gpu)
    power = ask(nvml.nvmlDeviceGetPowerUsage)
    energy = ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
    return GpuReading(
        index=index,
        name=name.decode() if isinstance(name, bytes) else name,
        utilization=None if load is None else load / 100,
        memory_used=float(memory.used),
        memory_total=float(memory.total),
        power=None if power is None else power / 1000,
        temperature=ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
        energy=None if energy is None else energy / 1000,
    )
