"""The scripts of `bench/`: their arithmetic, and those that run without an engine of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from bench import front, peers, report
from bench.contestants import ROOT
from bench.front import Pairs
from bench.requantise import as_q8_0
from bench.streams import HttpServer, Run


class Paced(HttpServer):
    """Answers at a speed of its own, without a process behind it."""

    resident_megabytes = 100.0

    def __init__(self, name: str, speed: float) -> None:
        self.name, self.version, self.pace, self.ended = name, "1.0", speed, False
        self.seen: list[int] = []

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        self.seen.append(len(prompts))
        count = len(prompts) * tokens
        return Run(count, count / self.pace, 0.05)

    def end(self) -> None:
        self.ended = True


def script(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_peers_take_turns_and_the_ratio_is_ours_over_theirs() -> None:
    servers = {"openvino": Paced("our worker", 200.0), "llama": Paced("llama.cpp server", 100.0)}
    runs = peers.compare(servers, [1, 4], tokens=8, rounds=3, pause=0.0)
    assert servers["llama"].seen == [1, 1, 1, 4, 4, 4]
    rows = table(peers.tables(servers, runs, [1, 4]))
    assert ["llama.cpp server", "2.00", "2.00"] in rows
    assert rows[2][:2] == ["our worker", "200.0 (200.0–200.0)"]


def test_who_cannot_take_part_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> HttpServer:
        raise RuntimeError("--vllm-python was not given")

    there = Paced("our worker", 1.0)
    servers = peers.start(["vllm", "openvino"], {"vllm": missing, "openvino": lambda: there})
    assert list(servers) == ["openvino"]
    assert "vllm is left out: --vllm-python was not given" in capsys.readouterr().out


def test_who_fails_at_the_first_request_is_ended() -> None:
    class Broken(Paced):
        def run(self, prompts: Sequence[str], tokens: int) -> Run:
            raise RuntimeError("500")

    broken = Broken("broken", 1.0)
    assert peers.start(["llama"], {"llama": lambda: broken}) == {}
    assert broken.ended


def test_what_the_front_adds_is_compared_round_by_round() -> None:
    pairs = Pairs(
        straight=[Run(64, 1.0, 0.010), Run(64, 2.0, 0.020), Run(64, 4.0, 0.040)],
        through=[Run(64, 1.25, 0.012), Run(64, 2.0, 0.023), Run(64, 5.0, 0.045)],
        front_cpu_seconds=0.0192,
    )
    assert pairs.added_ms == pytest.approx(3.0)
    assert pairs.kept == pytest.approx(0.8)
    assert pairs.front_us_a_token == pytest.approx(100)


def test_the_scripted_engine_runs_in_a_process_of_its_own() -> None:
    engine = front.Scripted(0.0)
    try:
        run = engine.run(["a", "b"], 16)
    finally:
        engine.end()
    assert run.tokens == 32
    assert engine.process.returncode == 0


def test_a_record_begins_with_machine_and_versions() -> None:
    heading = report.heading("A title")
    assert heading.startswith("## A title\n")
    assert f"{os.cpu_count()} cores" in heading
    assert report.spread([1.0, 2.0, 9.0]) == "2.0 (1.0–9.0)"
    assert report.markdown(["a", "b"], [["x", 1]]) == "| a | b |\n| -- | --: |\n| x | 1 |"


def test_a_card_is_measured_the_same_way_on_a_processor() -> None:
    pytest.importorskip("torch", reason="PyTorch could not be had for this Python")
    out = script(
        *("bench.gpu", "--tiny", "--device", "cpu", "--precision", "int8"),
        *("--streams", "1,2", "--tokens", "20"),
    )
    rows = table(out)[2:]
    assert [row[:2] for row in rows] == [["int8", "1"], ["int8", "2"]]
    assert all(0 < float(row[2]) < float(row[3]) for row in rows)


def test_a_card_is_filled_the_same_way_on_a_processor() -> None:
    pytest.importorskip("torch", reason="PyTorch could not be had for this Python")
    out = script("bench.small_card", "--tiny", "--free", "all", "--tokens", "20")
    [row] = table(out)[2:]
    assert row[:5] == ["all", "fp32", "4,096", "65,536", "16"]
    assert all(float(cell) > 0 for cell in row[5:11])


def test_a_file_in_eight_bits_keeps_its_words_and_values(tmp_path: Path) -> None:
    before = small_gguf(tmp_path / "q4_1.gguf")
    after = GGUFReader(as_q8_0(before, tmp_path / "q8_0.gguf"))
    assert after.fields["general.architecture"].contents() == "llama"
    assert after.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert after.fields["llama.block_count"].contents() == 2
    old, new = GGUFReader(before).tensors, after.tensors
    assert [tensor.name for tensor in new] == ["weight", "norm"]
    assert [tensor.tensor_type.name for tensor in new] == ["Q8_0", "F32"]
    was, now = (dequantize(t[0].data, t[0].tensor_type) for t in (old, new))
    assert now.shape == (4, 64)
    assert numpy.abs(now - was).max() <= numpy.abs(was).max() / 250
    assert (old[1].data == new[1].data).all()


def small_gguf(path: Path) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_token_list(["a", "b"])
    values = numpy.linspace(-1, 3, 256, dtype=numpy.float32).reshape(4, 64)
    kind = GGMLQuantizationType.Q4_1
    writer.add_tensor("weight", quantize(values, kind), raw_dtype=kind)
    writer.add_tensor("norm", numpy.ones(64, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
