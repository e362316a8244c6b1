from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.errors import SetupError
from appliance.folder import LEAST_FREE_BYTES, DataFolder, front_name


def test_one_appliance_at_a_time_and_the_second_learns_who_is_there(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.open("http://127.0.0.1:8000")
    with pytest.raises(SetupError, match=rf"process {os.getpid()}, http://127.0.0.1:8000"):
        second.open("http://127.0.0.1:8001")
    first.close()
    second.open("http://127.0.0.1:8001")
    second.close()


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_a_read_only_folder_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    # Root may write everywhere but where the kernel itself says no.
    refusing = Path("/sys/appliance") if os.geteuid() == 0 else tmp_path
    with pytest.raises(SetupError, match=r"cannot be written.*--data-dir"):
        DataFolder(refusing).open("")


def test_a_full_disk_is_a_sentence_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=LEAST_FREE_BYTES - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(SetupError, match=r"is full: 16.8 MB are free.*least 17 MB.*--data-dir"):
        DataFolder(tmp_path).open("")
    usage.free += 1
    DataFolder(tmp_path).open("")


def test_a_name_that_a_full_disk_cut_off_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "front.name").touch()
    name = front_name(tmp_path)
    assert name
    assert front_name(tmp_path) == name
