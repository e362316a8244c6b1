"""What the packaged model's four-bit weights are, once OpenVINO has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from appliance.engine.worker.backends.openvino_pipeline import CONVERTED, OpenedModel
from appliance.engine.worker.backends.openvino_zero_points import exact_zero_points
from appliance.engine.worker.folder import ModelFolder


@pytest.fixture(scope="module")
def model(opened: OpenedModel, demo_folder: ModelFolder) -> Path:
    """`opened` has seen to it that the conversion is there."""
    return demo_folder.path / CONVERTED / "openvino_model.xml"


def test_converted_weights_are_those_of_the_file(model: Path, demo_gguf: Path) -> None:
    reader = GGUFReader(demo_gguf)
    values = next(each for each in reader.tensors if each.name == "blk.0.ffn_down.weight")
    wanted = dequantize(values.data, values.tensor_type)
    graph = openvino.Core().read_model(model)
    rows, columns = wanted.shape
    found = [
        _weights(node)
        for node in graph.get_ordered_ops()
        if node.get_type_name() == "Subtract"
        and node.get_output_shape(0) == [rows, columns // 32, 32]
    ]
    errors = [np.abs(each.reshape(wanted.shape) - wanted).max() for each in found]
    assert min(errors) < 1e-3 * np.abs(wanted).max()


def _weights(subtract: openvino.Node) -> np.ndarray:
    """As the processor computes them."""
    multiply = next(iter(subtract.output(0).get_target_inputs())).get_node()
    alone = openvino.compile_model(openvino.Model([multiply], [], "weights"), "CPU")
    return np.asarray(alone([])[0], dtype=np.float32)


def test_what_is_exact_already_is_left_alone(model: Path, demo_gguf: Path) -> None:
    before = model.stat().st_mtime_ns
    assert not exact_zero_points(model, demo_gguf)
    assert model.stat().st_mtime_ns == before
