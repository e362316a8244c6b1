"""What pip and the disk say, turned into what the owner reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.install.environment import check_disk
from appliance.install.pip import Outcome, explain
from appliance.install.project import SetupFailed
from appliance.install.recipe import GB


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "disk is full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "disk is full"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "cannot be reached"),
        ("WARNING: Retrying (Retry(total=4)) after connection broken", "cannot be reached"),
        ("ReadTimeoutError: HTTPSConnectionPool: Read timed out.", "cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no build of a package"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "was not installed"),
    ],
)
def test_known_trouble_has_a_sentence(said: str, expected: str) -> None:
    assert expected in (explain([said]) or "")


def test_lost_network_is_named_before_the_missing_package_it_causes() -> None:
    lines = ["WARNING: Retrying (Retry(total=0))", "ERROR: No matching distribution found for x"]
    assert "cannot be reached" in (explain(lines) or "")


def test_unknown_trouble_shows_the_last_words() -> None:
    lines = tuple(f"line {number}" for number in range(20))
    sentence = Outcome(succeeded=False, tail=lines).sentence()
    assert "line 19" in sentence
    assert "line 13" not in sentence


def test_full_disk_is_told_with_numbers(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match=r"needs about 5000000\.0 GB more .* GB are free"):
        check_disk(tmp_path, 5_000_000 * GB)


def test_what_is_there_already_is_not_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "package").write_bytes(b"x" * 1000)
    check_disk(tmp_path, 1000)
