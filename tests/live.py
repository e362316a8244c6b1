"""A real appliance as its user has it: a process of its own, started from the command line."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0


@dataclass(frozen=True)
class Appliance:
    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Until the engine answers. Fails with what the appliance printed."""
        self.wait_for("/ready", 200, seconds)

    def wait_for(self, path: str, status: int, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if httpx2.get(self.url + path, timeout=5).status_code == status:
                    return
            except httpx2.HTTPError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {status} at {path}; it said:\n{self.said()}")

    def refuses(self) -> bool:
        """Whether nobody new is let in any more."""
        try:
            httpx2.get(self.url + "/health", timeout=5)
        except httpx2.ConnectError:
            return True
        except httpx2.TransportError:  # let in at the last moment, and not served any more
            pass
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def converted_models() -> Path:
    """One cache of converted models for all appliances of a test run: converting takes seconds."""
    folder = tempfile.mkdtemp(prefix="appliance-models-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextmanager
def appliance(
    data_dir: Path, *flags: str, env: dict[str, str] | None = None, port: int | None = None
) -> Iterator[Appliance]:
    """Start `appliance.cli`, yield it at once, and stop it as Ctrl-C would."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "models").exists():
        (data_dir / "models").symlink_to(converted_models(), target_is_directory=True)
    port, log = port or free_port(), data_dir / "console.log"
    command = [sys.executable, "-m", "appliance.cli", "--data-dir", str(data_dir)]
    command += ["--port", str(port), "--no-browser", *flags]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | (env or {}),
        )
    try:
        yield Appliance(f"http://127.0.0.1:{port}", data_dir, process, log)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], seconds: float = 20.0) -> int:
    """Ctrl-C, and wait; a process that does not listen is killed and its test fails."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError("the appliance did not stop on Ctrl-C") from None
