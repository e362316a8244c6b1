"""A further front's process as the first front sees it: started, told, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from appliance.fronts.lines import LONGEST_LINE_BYTES, ORDER, Order, written

ROOT = Path(__file__).resolve().parents[2]


class FrontProcess:
    """One child. Made by `spawn`; `lines` ends when the child's standard output does."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._life_line = cast(asyncio.StreamWriter, child.stdin)
        self._voice = cast(asyncio.StreamReader, child.stdout)

    @classmethod
    async def spawn(cls, order: Order) -> FrontProcess:
        """Raises OSError when it cannot be started. It logs to where the first front does."""
        child = await asyncio.create_subprocess_exec(
            # -P: nothing is imported from the working directory, in which paths may be relative.
            *(sys.executable, "-P", "-m", "appliance.fronts"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            pass_fds=(order.listener,),
            limit=LONGEST_LINE_BYTES,
            # Ctrl-C in the terminal is for the first front alone, which then ends this one.
            start_new_session=True,
        )
        process = cls(child)
        process._write(ORDER.dump_json(order) + b"\n")
        return process

    def tell(self, **words: Any) -> None:
        self._write(written(**words))

    async def lines(self) -> AsyncIterator[bytes]:
        async for line in self._voice:
            yield line

    async def ended(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        return await self._child.wait()

    def hang_up(self) -> None:
        """Cut the life line: it takes nobody new in, and ends once its answers have."""
        self._life_line.close()

    def abort(self) -> None:
        """It ends as from a crash, and writes where each of its threads was."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGABRT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()

    def _write(self, line: bytes) -> None:
        # A child that died has closed the pipe (RuntimeError is uvloop's word for it); its exit
        # status will say more than we can.
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._life_line.write(line)
