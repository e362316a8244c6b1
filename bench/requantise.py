"""The same GGUF file with its matrices as Q8_0: to tell a file's loss from a reader's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize, quantize

_PLAIN = (GGMLQuantizationType.F32, GGMLQuantizationType.F16)


def as_q8_0(source: Path, target: Path) -> Path:
    """Writes `target`: words and settings as they are, quantised tensors in eight bits."""
    reader = GGUFReader(source)
    architecture = str(reader.fields["general.architecture"].contents())
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=inner)
    for tensor in reader.tensors:
        _add(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _add(writer: GGUFWriter, tensor: Any) -> None:
    if tensor.tensor_type in _PLAIN:
        writer.add_tensor(tensor.name, tensor.data)
        return
    values = dequantize(tensor.data, tensor.tensor_type)
    kind = GGMLQuantizationType.Q8_0
    writer.add_tensor(tensor.name, quantize(values, kind), raw_dtype=kind)
