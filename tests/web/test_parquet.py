"""Our Parquet files, read byte by byte as the format says; any library reads them too."""

from __future__ import annotations

import gzip
import struct

from appliance.web.parquet import MAGIC, ParquetWriter


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def thrift(data: bytes, at: int, kind: int) -> tuple[object, int]:
    """A value of Thrift's compact protocol; a struct is a dict by the fields' numbers."""
    if kind in (5, 6):
        return zigzag(data, at)
    if kind == 8:
        size, at = varint(data, at)
        return data[at : at + size], at + size
    if kind == 9:
        size, of = data[at] >> 4, data[at] & 15
        at += 1
        if size == 15:
            size, at = varint(data, at)
        values = []
        for _ in range(size):
            value, at = thrift(data, at, of)
            values.append(value)
        return values, at
    assert kind == 12
    found: dict[int, object] = {}
    number = 0
    while data[at]:
        number += data[at] >> 4
        found[number], at = thrift(data, at + 1, data[at] & 15)
    return found, at + 1


def test_a_file_says_what_was_written() -> None:
    writer = ParquetWriter({"text": "text", "whole": "whole", "number": "number"})
    rows: list[dict[str, object]] = [
        {"text": "账本", "whole": -3, "number": 0.5},
        {"text": None, "whole": None, "number": None},
        {"text": "x" * 3000, "whole": 2**40, "number": 1e300},
    ]
    file = writer.start() + writer.group(rows) + writer.group(rows[:1]) + writer.end()

    assert file[:4] == file[-4:] == MAGIC
    (size,) = struct.unpack("<I", file[-8:-4])
    about, _ = thrift(file, len(file) - 8 - size, 12)
    assert isinstance(about, dict)
    assert about[3] == 4
    assert [column[4] for column in about[2]] == [b"schema", b"text", b"whole", b"number"]
    assert [group[3] for group in about[4]] == [3, 1]

    texts = page(file, about[4][0][1][0][3])
    # Six bytes of runs (one there, one not, one there), then lengths and texts.
    assert texts[:10] == struct.pack("<I", 6) + bytes([2, 1, 2, 0, 2, 1])
    assert (
        texts[10:] == struct.pack("<I", 6) + "账本".encode() + struct.pack("<I", 3000) + b"x" * 3000
    )
    assert struct.unpack("<2q", page(file, about[4][0][1][1][3])[10:]) == (-3, 2**40)
    assert struct.unpack("<d", page(file, about[4][1][1][2][3])[6:]) == (0.5,)


def page(file: bytes, chunk: dict[int, int]) -> bytes:
    """The values of a column chunk, which has one page."""
    header, at = thrift(file, chunk[9], 12)
    assert isinstance(header, dict)
    body = gzip.decompress(file[at : at + header[3]])
    assert (len(body), at + header[3] - chunk[9]) == (header[2], chunk[7])
    return body
