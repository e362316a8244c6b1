"""Reads the metadata of a GGUF file with the standard library: tokenizer, template, end tokens.

The `gguf` package does the same through NumPy and takes seconds for a large vocabulary.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from appliance.engine.worker.failure import LoadFailure

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


def read_metadata(path: Path) -> dict[str, Any]:
    """Every key with its value; arrays are lists. Raises LoadFailure `model_corrupt`."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _Reader(view).metadata()
    except (struct.error, ValueError, UnicodeDecodeError, KeyError) as error:
        raise LoadFailure(
            "model_corrupt", f"{path.name} is not a GGUF file that can be read: {error}"
        ) from error


class _Reader:
    """A cursor over the file. Slices past the end raise struct.error, never return less."""

    def __init__(self, view: mmap.mmap) -> None:
        self._view = view
        self._at = 0

    def metadata(self) -> dict[str, Any]:
        if self._view[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version, _tensors, count = self._unpack("IQQ")
        if version not in (2, 3):
            raise ValueError(f"its version is {version}, and versions 2 and 3 are known")
        return {self._string(): self._value(self._unpack("I")[0]) for _ in range(count)}

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._unpack(_SCALARS[kind])[0]
        element, length = self._unpack("IQ")
        if element in (_STRING, _ARRAY):
            return [self._value(element) for _ in range(length)]
        return list(self._unpack(f"{length}{_SCALARS[element]}"))

    def _string(self) -> str:
        (length,) = self._unpack("Q")
        end = self._at + length
        if end > len(self._view):
            raise ValueError("it ends in the middle of a text")
        raw = self._view[self._at : end]
        self._at = end
        return raw.decode("utf-8")

    def _unpack(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self._view, self._at)
        self._at += struct.calcsize("<" + layout)
        return values
