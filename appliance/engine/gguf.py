"""Reads the head of a GGUF file with the standard library: metadata, and the tensors' names.

The `gguf` package does the same through NumPy and takes seconds for a large vocabulary. What the
values mean is not known here. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_VERSIONS = (2, 3)
_ALIGNMENT = 32  # of the weights, where the file names no other
# Elements and bytes of a block by the number of its type; of a type that is not here, only the
# beginning of its weights is looked for.
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    30: (1, 2),
}
# Deeper than any real file; without a limit a damaged one would exhaust the stack.
_MOST_DIMENSIONS = 8


class GgufError(ValueError):
    """The file is no GGUF file that can be read; the text says why, without naming the file."""


@dataclass(frozen=True, slots=True)
class GgufHead:
    """`metadata` has every key with its value, `tensors` the names of the weights."""

    metadata: dict[str, Any]
    tensors: frozenset[str]


def read_gguf(path: Path, *, arrays: bool = True) -> GgufHead:
    """Raises GgufError for a damaged, cut or foreign file, and OSError when it cannot be read.

    Arrays become lists; without `arrays` only their lengths are given, which is faster.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _Reader(view, arrays).head()
    except KeyError as error:
        raise GgufError(f"it has a value of the unknown type {error}") from error
    except (struct.error, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise GgufError(str(error) or "it is damaged") from error


class _Reader:
    """A cursor over the file. Reading past the end raises an error, never returns less."""

    def __init__(self, view: mmap.mmap, arrays: bool) -> None:
        self._view = view
        self._arrays = arrays
        self._at = 0

    def head(self) -> GgufHead:
        if self._view[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version, tensors, count = self._unpack("IQQ")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}, and versions 2 and 3 are known")
        metadata = {self._string(): self._value(self._unpack("I")[0]) for _ in range(count)}
        ends = dict(self._tensor() for _ in range(tensors))
        self._check_size(max(ends.values(), default=0), metadata)
        return GgufHead(metadata, frozenset(ends))

    def _tensor(self) -> tuple[str, int]:
        """Its name, and where it ends, counted from the beginning of all weights."""
        name = self._string()
        (dimensions,) = self._unpack("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor has {dimensions} dimensions")
        *shape, kind, offset = self._unpack(f"{dimensions}QIQ")
        elements, size = _BLOCKS.get(kind, (1, 0))
        return name, offset + math.prod(shape) // elements * size

    def _check_size(self, weights: int, metadata: dict[str, Any]) -> None:
        """The libraries that load a file whose download broke off end without a word."""
        alignment = int(metadata.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
        needed = -(-self._at // alignment) * alignment + weights
        if weights and needed > len(self._view):
            raise ValueError(f"it is cut off: {len(self._view):,} bytes of {needed:,} are there")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._unpack(_SCALARS[kind])[0]
        element, length = self._unpack("IQ")
        if not self._arrays:
            self._skip(element, length)
            return length
        if element in (_STRING, _ARRAY):
            return [self._value(element) for _ in range(length)]
        return list(self._unpack(f"{length}{_SCALARS[element]}"))

    def _skip(self, element: int, length: int) -> None:
        if element in (_STRING, _ARRAY):
            for _ in range(length):
                self._value(element)
        else:
            self._move(struct.calcsize("<" + _SCALARS[element]) * length)

    def _string(self) -> str:
        (length,) = self._unpack("Q")
        start = self._at
        self._move(length)
        return self._view[start : self._at].decode("utf-8")

    def _move(self, size: int) -> None:
        if self._at + size > len(self._view):
            raise ValueError("it ends in the middle of a value")
        self._at += size

    def _unpack(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self._view, self._at)
        self._at += struct.calcsize("<" + layout)
        return values
