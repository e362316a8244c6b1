"""Heads of GGUF files: the packaged one, and small ones made here, whole and damaged."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.gguf import GgufError, read_gguf
from tests.fit.machines import demo_file


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


HEAD = b"GGUF" + struct.pack("<IQQ", 3, 1, 4)
PAIRS = (
    text("name") + struct.pack("<I", 8) + text("tiny"),
    text("layers") + struct.pack("<II", 4, 2),
    text("words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
    text("nested") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ3H", 2, 3, 7, 8, 9),
)
TENSOR = text("output.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)
WEIGHTS = 4 * 4 * 4
TO_THE_WEIGHTS = HEAD + b"".join(PAIRS) + TENSOR
WHOLE = TO_THE_WEIGHTS.ljust(-(-len(TO_THE_WEIGHTS) // 32) * 32 + WEIGHTS, b"\0")


def test_values_and_tensors_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(WHOLE)
    head = read_gguf(file)
    assert head.metadata == {
        "name": "tiny",
        "layers": 2,
        "words": ["a", "b"],
        "nested": [[7, 8, 9]],
    }
    assert head.tensors == {"output.weight"}


def test_arrays_may_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(WHOLE)
    head = read_gguf(file, arrays=False)
    assert head.metadata == {"name": "tiny", "layers": 2, "words": 2, "nested": 1}
    assert head.tensors == {"output.weight"}


def test_the_packaged_model_is_read_the_same_both_ways() -> None:
    full, short = read_gguf(demo_file()), read_gguf(demo_file(), arrays=False)
    assert full.tensors == short.tensors
    assert len(full.metadata["tokenizer.ggml.tokens"]) == short.metadata["tokenizer.ggml.tokens"]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=16))
def test_a_damaged_head_is_an_error_of_ours_or_other_values(
    tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.gguf"
    file.write_bytes(WHOLE[:at] + noise + WHOLE[at + len(noise) :])
    with suppress(GgufError):
        read_gguf(file)


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_a_cut_off_head_is_an_error_of_ours(tmp_path: Path, length: int) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(WHOLE[:length])
    with pytest.raises(GgufError):
        read_gguf(file)


def test_a_download_that_broke_off_is_told_with_the_numbers(tmp_path: Path) -> None:
    whole = demo_file()
    cut = tmp_path / "cut.gguf"
    for missing in (1, 50_000_000):
        size = whole.stat().st_size - missing
        with whole.open("rb") as source:
            cut.write_bytes(source.read(size))
        with pytest.raises(GgufError, match=rf"cut off: {size:,} bytes of 98,362,432 are there"):
            read_gguf(cut)
