"""Parquet files of plain columns, written a group of rows at a time. Knows no ledger.

Texts, whole numbers and numbers, each of which may be missing; pages are compressed with gzip.
This is all that a table needs, and a library for it would be larger than the whole appliance.
Format: https://parquet.apache.org/docs/file-format/ (metadata in Thrift's compact protocol).
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

Kind = Literal["text", "whole", "number"]
MAGIC = b"PAR1"
_TYPES = {"text": 6, "whole": 2, "number": 5}  # BYTE_ARRAY, INT64, DOUBLE
_OPTIONAL, _GZIP, _PLAIN, _RLE, _UTF8 = 1, 2, 0, 3, 0
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


class Field(NamedTuple):
    """A field of a Thrift struct: its number, its type on the wire, its value as bytes."""

    number: int
    kind: int
    value: bytes


class ParquetWriter:
    """Gives the bytes of a file: `start`, any number of `group`s, `end`."""

    def __init__(self, columns: Mapping[str, Kind]) -> None:
        self._columns = columns
        self._groups: list[bytes] = []
        self._rows = 0
        self._offset = 0

    def start(self) -> bytes:
        return self._told(MAGIC)

    def group(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        """Some rows, each with a value or None for every column."""
        written, chunks, size = b"", [], 0
        for name, kind in self._columns.items():
            page = _page([row[name] for row in rows], kind)
            place = self._offset + len(written)
            written += page.data
            size += page.whole
            chunks.append(_chunk(name, kind, page, place, len(rows)))
        self._groups.append(_struct(_list(1, _STRUCT, chunks), _i64(2, size), _i64(3, len(rows))))
        self._rows += len(rows)
        return self._told(written)

    def end(self) -> bytes:
        """What is in the file, at its end."""
        columns = [_element(name, kind) for name, kind in self._columns.items()]
        root = _struct(_text(4, "schema"), _i32(5, len(columns)))
        footer = _struct(
            _i32(1, 1),
            _list(2, _STRUCT, [root, *columns]),
            _i64(3, self._rows),
            _list(4, _STRUCT, self._groups),
            _text(6, "appliance"),
        )
        return self._told(footer + struct.pack("<I", len(footer)) + MAGIC)

    def _told(self, data: bytes) -> bytes:
        self._offset += len(data)
        return data


class _Page(NamedTuple):
    """A page with its header; `whole` is its size before it was compressed."""

    data: bytes
    whole: int


def _page(values: Sequence[Any], kind: Kind) -> _Page:
    levels = _levels(values)
    body = struct.pack("<I", len(levels)) + levels + _plain(values, kind)
    packed = gzip.compress(body, mtime=0)
    about = _struct(_i32(1, len(values)), _i32(2, _PLAIN), _i32(3, _RLE), _i32(4, _RLE))
    header = _struct(_i32(1, 0), _i32(2, len(body)), _i32(3, len(packed)), Field(5, _STRUCT, about))
    return _Page(header + packed, len(header) + len(body))


def _levels(values: Sequence[Any]) -> bytes:
    """Which values are there, as runs."""
    runs = groupby(value is not None for value in values)
    return b"".join(_varint(len(list(run)) << 1) + bytes([there]) for there, run in runs)


def _plain(values: Sequence[Any], kind: Kind) -> bytes:
    there = [value for value in values if value is not None]
    if kind == "whole":
        return struct.pack(f"<{len(there)}q", *there)
    if kind == "number":
        return struct.pack(f"<{len(there)}d", *there)
    texts = [str(value).encode(errors="replace") for value in there]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _chunk(name: str, kind: Kind, page: _Page, place: int, rows: int) -> bytes:
    about = _struct(
        _i32(1, _TYPES[kind]),
        _list(2, _I32, [_zigzag(_PLAIN), _zigzag(_RLE)]),
        _list(3, _BINARY, [_binary(name.encode())]),
        _i32(4, _GZIP),
        _i64(5, rows),
        _i64(6, page.whole),
        _i64(7, len(page.data)),
        _i64(9, place),
    )
    return _struct(_i64(2, place), Field(3, _STRUCT, about))


def _element(name: str, kind: Kind) -> bytes:
    fields = [_i32(1, _TYPES[kind]), _i32(3, _OPTIONAL), _text(4, name)]
    if kind == "text":
        fields.append(_i32(6, _UTF8))
    return _struct(*fields)


def _struct(*fields: Field) -> bytes:
    """Fields in the order of their numbers, each told as the step from the one before it."""
    written, last = b"", 0
    for field in fields:
        written += bytes([(field.number - last) << 4 | field.kind]) + field.value
        last = field.number
    return written + b"\0"


def _list(number: int, kind: int, values: Sequence[bytes]) -> Field:
    short = len(values) < 15
    head = (
        bytes([len(values) << 4 | kind]) if short else bytes([0xF0 | kind]) + _varint(len(values))
    )
    return Field(number, _LIST, head + b"".join(values))


def _i32(number: int, value: int) -> Field:
    return Field(number, _I32, _zigzag(value))


def _i64(number: int, value: int) -> Field:
    return Field(number, _I64, _zigzag(value))


def _text(number: int, value: str) -> Field:
    return Field(number, _BINARY, _binary(value.encode()))


def _binary(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
