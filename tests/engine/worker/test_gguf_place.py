"""Where OpenVINO reads a GGUF file: the library writes beside it, and opens it for writing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import ROOT

SCRIPT = """
import os, sys
from pathlib import Path
from appliance.engine.worker.backends.openvino_conversion import place_in
if os.geteuid() == 0:
    os.setuid(65534)
place = place_in(Path(sys.argv[2]), Path(sys.argv[1]))
open(place, "r+b").close()
print("link" if place.is_symlink() else "copy", place.read_text())
"""


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A folder that others may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
@pytest.mark.parametrize(("mode", "place"), [(0o666, "link"), (0o444, "copy")])
def test_a_file_that_is_not_ours_is_copied(anyones: Path, mode: int, place: str) -> None:
    """As in an image, where a package lies in a root that nobody may write to."""
    gguf, folder = anyones / "model.gguf", anyones / "ours"
    gguf.write_text("weights", encoding="ascii")
    gguf.chmod(mode)
    folder.mkdir()
    folder.chmod(0o777)
    command = [sys.executable, "-c", SCRIPT, str(gguf), str(folder / "openvino.partial")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [place, "weights"]
