"""Four-bit weights as the file means them: OpenVINO GenAI's GGUF reader rounds their zero points.

A block of Q4_1 stands for `d * q + m` with 32 numbers q of four bits. The reader writes that as
`d * (q - z)` and keeps z = -m / d in four bits too, which costs 0.2 nats a token on the packaged
model. The processor's kernels take z as a half-precision number just as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13

_BLOCK_BYTES = 20  # d and m in half precision, then 32 numbers of four bits
_NUMBERS = 32
# Of a matrix of scales, whatever the order of its rows: shape, sum, and sum of squares.
_Key = tuple[tuple[int, ...], int, int]


def exact_zero_points(model: Path, gguf: Path) -> bool:
    """Writes the converted `model` (an .xml with its .bin) anew, with the zero points of the file.

    False when there was nothing to do. Takes seconds, and the memory of the weights once more.
    """
    blocks = dict(_blocks(gguf))
    if not blocks:
        return False
    core = openvino.Core()
    # Not mapped: the file is written again below.
    graph = core.read_model(model, config={"ENABLE_MMAP": "NO"})
    mended = [_mend(each, blocks) for each in graph.get_ordered_ops() if _is_zero_point(each)]
    if not any(mended):
        return False
    fresh = model.with_name(f"exact_{model.name}")
    openvino.save_model(graph, fresh, compress_to_fp16=False)
    fresh.with_suffix(".bin").replace(model.with_suffix(".bin"))
    fresh.replace(model)
    return True


def _blocks(gguf: Path) -> Iterator[tuple[_Key, tuple[Any, Any]]]:
    """d and m of every tensor of that kind, a row of them for each row of weights."""
    from gguf import GGMLQuantizationType, GGUFReader

    for tensor in GGUFReader(gguf).tensors:
        if tensor.tensor_type == GGMLQuantizationType.Q4_1:
            columns = int(tensor.shape[0]) // _NUMBERS
            raw = np.ascontiguousarray(tensor.data).reshape(-1, columns, _BLOCK_BYTES)
            scales, minima = (
                np.ascontiguousarray(raw[..., at : at + 2]).view(np.float16)[..., 0]
                for at in (0, 2)
            )
            yield _key(scales), (scales, minima)


def _key(scales: Any) -> _Key:
    bits = scales.view(np.uint16).astype(np.uint64)
    return scales.shape, int(bits.sum()), int((bits * bits).sum())


def _is_zero_point(node: Any) -> bool:
    """`(q - z)` with z of four bits."""
    if node.get_type_name() != "Subtract":
        return False
    convert = node.input_value(1).get_node()
    return bool(
        convert.get_type_name() == "Convert"
        and convert.get_input_element_type(0) == openvino.Type.u4
        and convert.input_value(0).get_node().get_type_name() == "Constant"
    )


def _mend(subtract: Any, blocks: dict[_Key, tuple[Any, Any]]) -> bool:
    multiply = next(iter(subtract.output(0).get_target_inputs())).get_node()
    given = multiply.input_value(1).get_node().data
    scales = np.ascontiguousarray(given.reshape(given.shape[0], -1))
    known = blocks.get(_key(scales))
    if known is None:
        return False
    minima = _in_order(scales, *known).astype(np.float32)
    wide = scales.astype(np.float32)
    zeros = np.divide(-minima, wide, out=np.zeros_like(wide), where=wide != 0)
    constant = opset13.constant(zeros.reshape(given.shape).astype(np.float16))
    subtract.input(1).replace_source_output(constant.output(0))
    return True


def _in_order(scales: Any, rows: Any, minima: Any) -> Any:
    """The reader turns the rows of queries and keys into another order."""
    if np.array_equal(scales, rows):
        return minima
    place = {row.tobytes(): at for at, row in enumerate(rows)}
    return minima[[place[row.tobytes()] for row in scales]]
