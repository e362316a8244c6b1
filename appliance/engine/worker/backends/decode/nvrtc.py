"""CUDA source made into kernels on the user's machine, by the compiler that torch carries.

No toolkit and no C compiler is needed, on Linux or on Windows. torch's own wrapper
(`torch.cuda._compile_kernel`) asks for a toolkit's headers, so only what it stands on is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.cuda import _utils


def compiled(
    source: str, names: Iterable[str], defines: Mapping[str, int], device: torch.device
) -> Mapping[str, Any]:
    """Kernels by name, for this device. Raises RuntimeError with the compiler's words."""
    major, minor = torch.cuda.get_device_capability(device)
    options = [f"--gpu-architecture=sm_{major}{minor}"]
    options += [f"-D{name}={value}" for name, value in defines.items()]
    with torch.cuda.device(device):
        kernels: Mapping[str, Any] = _utils._cuda_load_module(binary(source, options), list(names))
    return kernels


def binary(source: str, options: Iterable[str]) -> bytes:
    """NVRTC's result for `source`; see its User Guide for the calls."""
    nvrtc = _utils._get_gpu_rtc_library()
    program = ctypes.c_void_p()
    made = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
    )
    _check(nvrtc, made)
    words = [option.encode() for option in options]
    failed = nvrtc.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
    if failed:
        log = _read(nvrtc, program, "ProgramLog").decode(errors="replace")
        raise RuntimeError(f"the card's compiler refused the kernels: {log}")
    found = _read(nvrtc, program, "CUBIN")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return found


def _read(nvrtc: Any, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    room = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, room))
    return room.raw


def _check(nvrtc: Any, code: int) -> None:
    if code:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(f"the card's compiler failed: {nvrtc.nvrtcGetErrorString(code)!r}")
