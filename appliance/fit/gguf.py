"""Reads the head of a GGUF file: what model is inside, without loading it.

Only the metadata is read (a few hundred kilobytes of tokenizer at most), with the standard
library alone. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from appliance.engine.config import ModelSource
from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry
from appliance.fit.shape import Shape

Value = int | float | bool | str

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MAX_LENGTH = 1 << 28


def describe_gguf(path: Path) -> ModelEntry:
    """The model inside a GGUF file. Raises SetupError when the file is not one."""
    try:
        with path.open("rb") as file:
            facts, tensors = _read_head(file)
        return _entry(path, facts, tensors)
    except (OSError, struct.error, ValueError, KeyError) as error:
        raise SetupError(
            "%(path)s is not a GGUF model that can be read: %(error)s.",
            param="model",
            path=str(path),
            error=f"{error} is missing" if isinstance(error, KeyError) else str(error),
        ) from error


def _entry(path: Path, facts: dict[str, Value], tensors: set[str]) -> ModelEntry:
    prefix = f"{facts['general.architecture']}."

    def number(key: str) -> int:
        return int(facts[prefix + key])

    hidden, heads = number("embedding_length"), number("attention.head_count")
    shape = Shape(
        layers=number("block_count"),
        hidden=hidden,
        ffn=number("feed_forward_length"),
        heads=heads,
        kv_heads=int(facts.get(prefix + "attention.head_count_kv", heads)),
        head_dim=int(facts.get(prefix + "attention.key_length", hidden // heads)),
        vocabulary=int(facts["tokenizer.ggml.tokens"]),
        tied_embeddings="output.weight" not in tensors,
        qk_norm="blk.0.attn_q_norm.weight" in tensors,
    )
    return ModelEntry(
        id=path.stem,
        name=path.stem,
        source=ModelSource("gguf", str(path.absolute())),
        shape=shape,
        context_native=number("context_length"),
        context_max=number("context_length"),
        gguf_bytes=path.stat().st_size,
    )


def _read_head(file: BinaryIO) -> tuple[dict[str, Value], set[str]]:
    """Metadata (an array is represented by its length) and the names of the tensors."""
    magic = file.read(4)
    version, tensor_count, fact_count = _unpack(file, "IQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("it does not begin with GGUF version 2 or 3")
    facts: dict[str, Value] = {}
    for _ in range(fact_count):
        key = _string(file)
        facts[key] = _value(file, _unpack(file, "I")[0])
    names: set[str] = set()
    for _ in range(tensor_count):
        names.add(_string(file))
        dimensions = _unpack(file, "I")[0]
        _unpack(file, f"{dimensions}QIQ")
    return facts, names


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        scalar: Value = _unpack(file, _SCALARS[kind])[0]
        return scalar
    element, length = _unpack(file, "IQ")
    if element == _STRING:
        for _ in range(length):
            file.seek(_length(file), 1)
    else:
        file.seek(struct.calcsize("<" + _SCALARS[element]) * length, 1)
    return int(length)


def _string(file: BinaryIO) -> str:
    return file.read(_length(file)).decode("utf-8")


def _length(file: BinaryIO) -> int:
    length = int(_unpack(file, "Q")[0])
    if length > _MAX_LENGTH:
        raise ValueError("a text inside is impossibly long")
    return length


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    size = struct.calcsize("<" + layout)
    return struct.unpack("<" + layout, file.read(size))
