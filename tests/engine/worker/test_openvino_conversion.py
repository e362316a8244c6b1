"""A GGUF file on its way into OpenVINO's format: what is joined in it, and what is kept."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from appliance.engine.worker.backends.openvino_conversion import MODEL, converted, is_converted
from appliance.engine.worker.backends.openvino_pipeline import (
    KV_BLOCK_TOKENS,
    OpenedModel,
    has_matrix_units,
)
from appliance.engine.worker.backends.openvino_products import join_products
from appliance.engine.worker.folder import ModelFolder
from appliance.fit.catalogue import load_catalogue

COLUMNS, GROUP = 64, 32


def packed(rows: int, kind: str, seed: int) -> Any:
    """Weights as the library's GGUF reader writes them: groups of numbers, zero points, scales."""
    draw = np.random.default_rng(seed)
    groups = COLUMNS // GROUP
    if kind == "f16":
        plain = draw.standard_normal((rows, COLUMNS)).astype(np.float16)
        return ops.convert(ops.constant(plain), "f32")
    bits = 4 if kind == "u4" else 8
    numbers = integers(draw.integers(0, 2**bits, (rows, groups, GROUP)), kind)
    zeros = integers(draw.integers(0, 2**bits, (rows, groups, 1)), kind)
    scales = ops.constant(draw.random((rows, groups, 1)).astype(np.float16))
    moved = ops.subtract(ops.convert(numbers, "f16"), ops.convert(zeros, "f16"))
    shape = np.array([rows, COLUMNS], dtype=np.int64)
    return ops.convert(ops.reshape(ops.multiply(moved, scales), shape, False), "f32")


def integers(values: Any, kind: str) -> Any:
    flat = values.astype(np.uint8).ravel()
    if kind == "u4":
        flat = flat[0::2] | flat[1::2] << 4
    element = {"u4": openvino.Type.u4, "u8": openvino.Type.u8}[kind]
    tensor = openvino.Tensor(flat, openvino.Shape(values.shape), element)
    return openvino.op.Constant(tensor, shared_memory=False)


def layers(*fans: Sequence[tuple[int, str]]) -> openvino.Model:
    """For each fan an input that several products read; rows and kind of each."""
    inputs, outputs = [], []
    for number, fan in enumerate(fans):
        read = ops.parameter([-1, COLUMNS], np.float32, name=f"input{number}")
        inputs.append(read)
        for seed, (rows, kind) in enumerate(fan):
            product = ops.matmul(read, packed(rows, kind, seed), False, True)
            outputs.append(ops.result(product))
    return openvino.Model(outputs, inputs, "layers")


def computed(model: openvino.Model, inputs: list[Any]) -> list[Any]:
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    made = openvino.Core().compile_model(model, "CPU", exact)(inputs)
    return [made[each] for each in made]


def products(model: openvino.Model) -> int:
    return Counter(node.get_type_name() for node in model.get_ops())["MatMul"]


@pytest.mark.parametrize(
    ("fan", "left"),
    [
        ([(64, "u4"), (32, "u4"), (32, "u4")], 1),
        ([(64, "u8"), (32, "u8"), (32, "u8")], 1),
        ([(64, "f16"), (32, "f16"), (32, "f16")], 1),
        # As files of mixed precisions have it: the values in more bits.
        ([(64, "u4"), (32, "u4"), (32, "u8")], 2),
        ([(64, "u4"), (32, "u8"), (32, "f16")], 3),
        # Gate and up.
        ([(64, "u4"), (64, "u4")], 2),
    ],
)
def test_joined_products_say_what_they_said(fan: list[tuple[int, str]], left: int) -> None:
    inputs = [np.random.default_rng(7).standard_normal((5, COLUMNS)).astype(np.float32)]
    plain, joined = layers(fan), layers(fan)
    join_products(joined)
    assert products(joined) == left
    for one, other in zip(computed(plain, inputs), computed(joined, inputs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_each_layer_is_joined_for_itself() -> None:
    model = layers(*[[(64, "u4"), (32, "u4"), (32, "u4")]] * 3, [(96, "u4")])
    assert join_products(model) == 3
    assert products(model) == 4
    assert join_products(model) == 0


# --- the packaged model


@pytest.fixture
def gguf(demo_folder: ModelFolder) -> Path:
    assert demo_folder.gguf is not None
    return demo_folder.gguf


def test_a_conversion_is_made_once_and_an_older_one_goes(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / MODEL).write_text("of another release", encoding="ascii")
    stages: list[str] = []
    folder = converted(gguf, tmp_path, lambda stage, *_: stages.append(stage))
    assert folder is not None
    assert [each.name for each in tmp_path.iterdir()] == [folder.name]
    assert not list(folder.glob("*.gguf"))
    made = (folder / MODEL).stat().st_mtime_ns
    assert converted(gguf, tmp_path, lambda stage, *_: stages.append(stage)) == folder
    assert (folder / MODEL).stat().st_mtime_ns == made
    assert stages == ["convert"]
    assert join_products(openvino.Core().read_model(folder / MODEL)) == 0


def test_a_model_that_cannot_be_joined_serves_as_it_is(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(openvino, "save_model", full)
    folder = converted(gguf, tmp_path, lambda *_: None)
    assert folder is not None
    assert not (folder / "joined").exists()
    assert "no space left on device" in caplog.text
    assert join_products(openvino.Core().read_model(folder / MODEL)) == 30


def test_a_conversion_that_cannot_get_its_name_serves_once(
    gguf: Path, demo_folder: ModelFolder, tmp_path: Path
) -> None:
    usual = converted(gguf, demo_folder.path, lambda *_: None)
    assert usual is not None
    (tmp_path / usual.name).write_text("somebody's file", encoding="ascii")
    folder = converted(gguf, tmp_path, lambda *_: None)
    assert folder is not None
    assert is_converted(folder)
    assert (tmp_path / usual.name).read_text(encoding="ascii") == "somebody's file"


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or has_matrix_units(),
    reason="this processor's plug-in is left to choose",
)
def test_the_cache_takes_what_the_plan_counts(opened: OpenedModel) -> None:
    shape = load_catalogue().demo.shape
    opened.pipeline.step()
    used = opened.pipeline.get_metrics().kv_cache_size_in_bytes
    assert used == opened.kv_blocks * KV_BLOCK_TOKENS * shape.kv_bytes_per_token()


def test_matrix_units_are_read_off_the_processors_flags(tmp_path: Path) -> None:
    flags = tmp_path / "cpuinfo"
    assert not has_matrix_units(flags)
    flags.write_text("flags\t\t: fpu avx2 avx512_bf16\n", encoding="ascii")
    assert not has_matrix_units(flags)
    flags.write_text("flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", encoding="ascii")
    assert has_matrix_units(flags)
