"""NVIDIA cards as their driver (NVML) sees them. No torch: asking costs milliseconds, no VRAM.

Whatever is wrong with a driver or a card comes back as a sentence, never as an exception:
a machine without a usable card is an ordinary machine.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pynvml

from appliance.domain import Phrase
from appliance.fit.hardware import Gpu

Found = tuple[tuple[Gpu, ...], tuple[Phrase, ...]]


def find_gpus() -> Found:
    """Cards that this process may use, and what stood in the way of others."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), (_driver_problem(error),)
    try:
        return _visible(*_list_gpus())
    except pynvml.NVMLError as error:
        return (), (_driver_problem(error),)
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _list_gpus() -> Found:
    driver = _text(pynvml.nvmlSystemGetDriverVersion())
    version = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    cuda = (version // 1000, version % 1000 // 10)
    gpus: list[Gpu] = []
    notices: list[Phrase] = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            gpus.append(_describe(index, driver, cuda))
        except pynvml.NVMLError as error:
            notices.append(
                Phrase(
                    "NVIDIA card %(index)s does not answer (%(error)s), so it is not used.",
                    {"index": index, "error": str(error)},
                )
            )
    return tuple(gpus), tuple(notices)


def _describe(index: int, driver: str, cuda: tuple[int, int]) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        compute_capability=(int(major), int(minor)),
        driver_version=driver,
        cuda_driver=cuda,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
    )


def _visible(gpus: tuple[Gpu, ...], notices: tuple[Phrase, ...]) -> Found:
    """Only what CUDA_VISIBLE_DEVICES leaves, since the driver itself ignores the variable."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return gpus, notices
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    kept = tuple(gpu for gpu in gpus if any(_is_called(gpu, name) for name in names))
    if len(kept) == len(gpus):
        return gpus, notices
    hidden = Phrase(
        "CUDA_VISIBLE_DEVICES=%(value)s hides %(count)s NVIDIA card(s).",
        {"value": wanted, "count": len(gpus) - len(kept)},
    )
    return kept, (*notices, hidden)


def _is_called(gpu: Gpu, name: str) -> bool:
    return name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))


def _driver_problem(error: pynvml.NVMLError) -> Phrase:
    if isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return Phrase("No NVIDIA driver is installed, so the model runs on the CPU.")
    if isinstance(error, pynvml.NVMLError_LibRmVersionMismatch):
        return Phrase(
            "The NVIDIA driver was updated while the machine was running: restart the machine "
            "to use the card."
        )
    return Phrase(
        "The NVIDIA driver does not answer (%(error)s), so the model runs on the CPU. "
        "`nvidia-smi` may say more.",
        {"error": str(error)},
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
