"""A bench that is ended leaves none of its servers running."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx2
import psutil
import pytest

from bench.contestants import ROOT
from tests.waiting import until

pytestmark = pytest.mark.anyio
COMMAND = "bench.front --engine scripted --gap 0 --streams 1 --rounds 1000000"
SERVER = re.compile(r"-m (bench\.upstream|appliance\.cli) ")


class Running:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.servers: list[psutil.Process] = []

    def has_servers(self) -> bool:
        """The engine and the appliance, which may be starting still."""
        found = psutil.Process(self.process.pid).children()
        self.servers = [each for each in found if SERVER.search(_command(each))]
        return len(self.servers) == 2

    def measures(self) -> bool:
        port = re.search(r"--port (\d+)", " ".join(map(_command, self.servers)))
        assert port
        with suppress(httpx2.HTTPError):
            return httpx2.get(f"http://127.0.0.1:{port[1]}/ready").status_code == 200
        return False


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@pytest.fixture
def running() -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", *COMMAND.split()], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    running = Running(process)
    yield running
    for each in (process, *running.servers):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("also", [lambda _: True, Running.measures], ids=["starting", "measuring"])
async def test_sigterm_ends_the_servers_too(
    running: Running, also: Callable[[Running], bool]
) -> None:
    await until(running.has_servers, 60)
    await until(lambda: also(running), 60)
    running.process.terminate()
    assert running.process.wait(30) != 0
    _, alive = psutil.wait_procs(running.servers, timeout=5)
    assert alive == []
