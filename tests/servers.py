"""Debian's PostgreSQL and Redis, each in a folder and on a loopback port of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.live import free_port

START_SECONDS = 60.0
QUICK = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off"]


def program(name: str, package: str, *folders: Path) -> str:
    """The path of a server's program. Skips the test where it is missing, but never in CI."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        assert not os.environ.get("CI"), f"{name} is missing: install Debian's {package}"
        pytest.skip(f"needs {name} (Debian's package {package})")
    return found


@contextmanager
def postgresql() -> Iterator[str]:
    """A new cluster; the URL of its server, without a database's name."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb = program("initdb", "postgresql", *folders)
    server = program("postgres", "postgresql", *folders)
    folder = Path(tempfile.mkdtemp(prefix="appliance-postgresql-"))
    # PostgreSQL refuses to run as root.
    by: dict[str, Any] = {}
    if os.name == "posix" and os.geteuid() == 0:
        by = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    try:
        command = [initdb, "--no-sync", "--auth=trust", "--username=appliance"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={folder}/data"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **by)
        port = free_port()
        command = [server, "-D", f"{folder}/data", "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        command += [word for option in QUICK for word in ("-c", option)]
        with (folder / "log").open("wb") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, **by
            )
        try:
            url = f"postgresql://appliance@127.0.0.1:{port}"
            _wait(process, lambda: _connects(url), folder / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # ends the sessions that a failed test has left
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class RedisServer:
    """A Redis that can be killed and started again on the same port, with what it knew gone."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [program("redis-server", "redis-server"), "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait(self.process, self._answers, self.folder / "redis.log")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def freeze(self) -> None:
        """It keeps its connections and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        from redis import Redis
        from redis.exceptions import ConnectionError as Refused

        with Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except Refused:
                return False


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _connects(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(f"{url}/postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _wait(process: subprocess.Popen[Any], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return
        time.sleep(0.02)
    raise AssertionError(f"the server does not answer; it said:\n{log.read_text()}")
