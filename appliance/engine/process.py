"""The engine's child process: started, listened to, ended. It decides nothing.

Its standard input is its life line (see `engine.config`), its standard error goes to a log file
whose end is quoted when it dies without a word. Whatever it starts itself ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any, cast

from appliance.engine.orders import Order

ROOT = Path(__file__).resolve().parents[2]
LOG_LIMIT_BYTES = 5 * 1024 * 1024
END_SECONDS = 8.0


class EngineProcess:
    """One child. Made by `spawn`; `events` ends when the child's standard output does."""

    def __init__(self, child: asyncio.subprocess.Process, log_path: Path) -> None:
        self._child = child
        self._life_line = cast(asyncio.StreamWriter, child.stdin)
        self._voice = cast(asyncio.StreamReader, child.stdout)
        self._log_path = log_path

    @classmethod
    async def spawn(cls, order: Order, log_path: Path) -> EngineProcess:
        """Raises OSError when the program cannot be started."""
        with _open_log(log_path) as log:
            child = await asyncio.create_subprocess_exec(
                *order.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ
                | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **order.environment},
                **_own_group(),
            )
        process = cls(child, log_path)
        # A child that died at once has closed the pipe (RuntimeError is uvloop's word for it); its
        # exit status will say more than we can.
        with contextlib.suppress(ConnectionError, RuntimeError):
            process._life_line.write(order.first_line.encode() + b"\n")
            await process._life_line.drain()
        return process

    @property
    def pid(self) -> int:
        return self._child.pid

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The worker's events. A line that is not one is left to the log, not to us."""
        async for line in self._voice:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    yield event

    async def ended(self) -> int:
        """Wait for the end; the exit status, negative for a signal (POSIX)."""
        return await self._child.wait()

    async def end(self) -> None:
        """Close the life line, wait, and kill what does not listen."""
        self._life_line.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._child.wait(), END_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it and its own children at once, also one that is stopped."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._child.kill()
            else:
                # The child leads a session of its own, and its group outlives it.
                os.killpg(self._child.pid, signal.SIGKILL)
        await self._child.wait()

    def last_words(self) -> str:
        """The last line that was logged, to quote as the reason of a silent death."""
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _open_log(path: Path) -> IO[bytes]:
    """Append, but start over when the file has grown large: only the newest death matters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grown = path.exists() and path.stat().st_size > LOG_LIMIT_BYTES
    return path.open("wb" if grown else "ab")


def _own_group() -> dict[str, Any]:
    """Ctrl-C in the terminal is for the parent alone, which then ends the child in order."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
