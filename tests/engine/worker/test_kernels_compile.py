"""The kernels through NVIDIA's own compiler, which needs no card, for every kind of card."""

from __future__ import annotations

import ctypes
import os
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch could not be had for this Python")

from torch.cuda import _utils

from appliance.engine.worker.backends import decode
from appliance.engine.worker.backends.decode.nvrtc import binary

TURING, AMPERE, AMPERE_OF_PCS, ADA, HOPPER, BLACKWELL = 75, 80, 86, 89, 90, 120
EIGHT_BILLION = "WIDTH=4096 HEADS=32 SHARED=8 SIZE=128 PAGE=32 NORMED=1"
SMALL = "WIDTH=576 HEADS=9 SHARED=3 SIZE=64 PAGE=32 NORMED=0"


@pytest.fixture
def nvrtc(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a build of torch for cards carries, from the same package."""
    try:
        found = {each.name: Path(str(each.locate())) for each in files("nvidia-cuda-nvrtc") or []}
    except PackageNotFoundError:
        if os.environ.get("CI"):
            raise
        pytest.skip("nvidia-cuda-nvrtc is not installed")
    ctypes.CDLL(str(found["libnvrtc-builtins.so.13.0"]), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(found["libnvrtc.so.13"]))
    monkeypatch.setattr(_utils, "_get_gpu_rtc_library", lambda: library)


def compiled(name: str, card: int, defines: str) -> bytes:
    source = Path(decode.__file__).with_name(name).read_text(encoding="utf-8")
    options = [f"--gpu-architecture=sm_{card}", *(f"-D{each}" for each in defines.split())]
    return binary(source, options)


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.parametrize("card", [AMPERE, AMPERE_OF_PCS, ADA, HOPPER, BLACKWELL])
@pytest.mark.parametrize(
    ("name", "defines", "kernel"),
    [
        ("kernels.cu", f"BF16=1 {EIGHT_BILLION}", b"attend"),
        ("products.cu", "BITS=16", b"product_1"),
        ("products.cu", "BITS=8", b"product_1"),
        ("products.cu", "BITS=4", b"product_1"),
    ],
)
def test_cards_of_today_take_the_kernels(name: str, defines: str, kernel: bytes, card: int) -> None:
    made = compiled(name, card, defines)
    assert made.startswith(b"\x7fELF")
    assert kernel in made


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.parametrize("shape", [EIGHT_BILLION, SMALL])
def test_older_cards_take_those_that_they_need(shape: str) -> None:
    """In half precision, and with the products of the libraries."""
    assert b"turn_and_keep" in compiled("kernels.cu", TURING, f"BF16=0 {shape}")


@pytest.mark.usefixtures("nvrtc")
def test_what_the_compiler_says_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"refused the kernels.*bf16"):
        compiled("products.cu", TURING, "BITS=8")
