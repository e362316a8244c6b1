"""The probe on this machine, inside a limited container, and beside drivers good and bad."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from appliance.fit.hardware import GIB, obstacle
from appliance.fit.nvidia import find_gpus
from appliance.fit.probe import probe


@pytest.fixture(autouse=True)
def all_cards_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_this_machine(tmp_path: Path) -> None:
    found = probe(tmp_path / "not" / "there" / "yet")
    assert 0 < found.ram_available_bytes <= found.ram_total_bytes
    assert 1 <= found.cores_physical <= found.cores_logical
    assert found.disk_free_bytes > 0
    assert found.gpus or found.notices
    assert json.loads(json.dumps(found.to_dict()))["platform"] == found.platform


def test_pytorch_is_looked_for_and_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    assert not probe(tmp_path).has_torch
    monkeypatch.delitem(sys.modules, "torch")
    (tmp_path / "torch.py").write_text("raise RuntimeError('was loaded')")
    monkeypatch.syspath_prepend(tmp_path)
    assert probe(tmp_path).has_torch


def test_a_container_sees_its_own_limits(tmp_path: Path) -> None:
    machine = probe(tmp_path, cgroup=tmp_path)
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB // 2}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    found = probe(tmp_path, cgroup=tmp_path)
    assert machine.ram_total_bytes > GIB
    assert found.ram_total_bytes == GIB
    assert found.ram_available_bytes == 3 * GIB // 4
    assert (found.cores_logical, found.cores_physical) == (1, 1)


def test_a_container_without_limits_sees_the_machine(tmp_path: Path) -> None:
    machine = probe(tmp_path, cgroup=tmp_path)
    for name in ("memory.max", "memory.current", "cpu.max"):
        (tmp_path / name).write_text("max 100000\n" if name == "cpu.max" else "max\n")
    found = probe(tmp_path, cgroup=tmp_path)
    assert found.ram_total_bytes == machine.ram_total_bytes
    assert found.cores_logical == machine.cores_logical


def test_the_room_stays_light() -> None:
    code = (
        "import sys, appliance.fit.plan, appliance.fit.probe, appliance.fit.report;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'fastapi', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@dataclass
class Driver:
    """NVML as a machine with two cards shows it; `lost` cards answer with an error."""

    cuda: int = 13000
    lost: set[int] = field(default_factory=set)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        answers = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: "580.95.05",
            "nvmlSystemGetCudaDriverVersion_v2": lambda: self.cuda,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": self.handle,
            "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(
                total=8 * GIB, free=(6 + card) * GIB
            ),
            "nvmlDeviceGetCudaComputeCapability": lambda card: (8, 9),
            "nvmlDeviceGetName": lambda card: b"NVIDIA GeForce RTX 4060",
            "nvmlDeviceGetUUID": lambda card: f"GPU-{card}abc",
        }
        for name, answer in answers.items():
            patch.setattr(pynvml, name, answer)

    def handle(self, index: int) -> int:
        if index in self.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index


def test_cards_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver().install(monkeypatch)
    gpus, notices = find_gpus()
    assert notices == ()
    assert [gpu.index for gpu in gpus] == [0, 1]
    assert gpus[1].name == "NVIDIA GeForce RTX 4060"
    assert (gpus[1].total_bytes, gpus[1].free_bytes) == (8 * GIB, 7 * GIB)
    assert (gpus[1].cuda_driver, gpus[1].compute_capability) == ((13, 0), (8, 9))
    assert obstacle(gpus[1]) is None


def test_an_old_driver_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(cuda=12080).install(monkeypatch)
    gpus, _ = find_gpus()
    assert gpus[0].cuda_driver == (12, 8)
    assert "install NVIDIA driver 580 or newer" in str(obstacle(gpus[0]))


def test_a_lost_card_does_not_hide_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(lost={0}).install(monkeypatch)
    gpus, notices = find_gpus()
    assert [gpu.index for gpu in gpus] == [1]
    assert "card 0 does not answer" in str(notices[0])


@pytest.mark.parametrize(("value", "seen"), [("1", [1]), ("GPU-0", [0]), ("-1", []), ("", [])])
def test_hidden_cards_stay_hidden(
    monkeypatch: pytest.MonkeyPatch, value: str, seen: list[int]
) -> None:
    Driver().install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    gpus, notices = find_gpus()
    assert [gpu.index for gpu in gpus] == seen
    assert f"hides {2 - len(seen)} NVIDIA card(s)" in str(notices[0])


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "No NVIDIA driver is installed"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart the machine"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "does not answer (Driver Not Loaded)"),
    ],
)
def test_a_missing_or_broken_driver_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(code)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    gpus, notices = find_gpus()
    assert gpus == ()
    assert sentence in str(notices[0])
