"""Sizes follow from the shape, and agree with what is published and measured."""

from __future__ import annotations

import pytest

from appliance.fit.catalogue import ModelEntry, load_catalogue
from appliance.fit.hardware import GIB


def model(name: str) -> ModelEntry:
    entry = load_catalogue().find(name)
    assert entry is not None
    return entry


def test_qwen3_8b_has_its_published_size() -> None:
    shape = model("qwen3-8b").shape
    assert shape.parameters == 8_190_735_360
    assert shape.weight_bytes("bf16") == pytest.approx(16.38e9, rel=1e-3)
    assert shape.kv_bytes_per_token() == 144 * 1024
    assert 32_768 * shape.kv_bytes_per_token() == 4.5 * GIB


@pytest.mark.parametrize(("precision", "gib"), [("bf16", 15.26), ("int8", 8.8), ("nf4", 5.66)])
def test_qwen3_8b_takes_the_measured_memory(precision: str, gib: float) -> None:
    weights = model("qwen3-8b").weight_bytes(precision)  # type: ignore[arg-type]
    assert weights / GIB == pytest.approx(gib, abs=0.02)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwen3-4b", 4_022_468_096),
        ("qwen3-1.7b", 1_720_574_976),
        ("qwen3-0.6b", 596_049_920),
        ("demo", 134_515_008),
    ],
)
def test_parameters_of_the_others(name: str, parameters: int) -> None:
    assert model(name).shape.parameters == parameters


def test_a_gguf_file_has_the_size_of_the_file() -> None:
    demo = model("demo")
    assert demo.weight_bytes("gguf") == 98_362_432
    with pytest.raises(ValueError, match="gguf"):
        demo.shape.weight_bytes("gguf")
