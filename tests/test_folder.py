from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.errors import SetupError
from appliance.folder import DataFolder


def test_one_appliance_at_a_time_and_the_second_learns_who_is_there(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.open("http://127.0.0.1:8000")
    with pytest.raises(SetupError, match=rf"process {os.getpid()}, http://127.0.0.1:8000"):
        second.open("http://127.0.0.1:8001")
    first.close()
    second.open("http://127.0.0.1:8001")
    second.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SetupError, match=r"cannot be written.*--data-dir"):
        DataFolder(tmp_path).open("")
