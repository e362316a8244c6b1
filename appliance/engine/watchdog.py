"""Notices an engine that lives but no longer answers: hung, stopped, or lost after a sleep.

Asks `/health` by hand: an HTTP client would cost the start more than these few lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

ASK_EVERY_SECONDS = 5.0
ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 30.0
# Opening or converting weights may keep every thread of an engine busy for minutes.
LOADING_SILENCE_SECONDS = 900.0
# A busy machine of ours must not count as one that slept.
SLACK_SECONDS = 1.0
QUESTION = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class Silence:
    """How long nothing was heard, counted only while we ourselves were awake.

    Two looks that lie further apart than `step` seconds mean that this machine slept or that we
    were stopped; the engine was then as little to blame as we, so only `step` counts.
    """

    def __init__(self, *, limit: float, step: float, now: float) -> None:
        self.limit = limit
        self._step = step
        self._looked_at = now
        self._seconds = 0.0

    def note(self, answered: bool, now: float) -> bool:
        """Take down one look; True when the silence has lasted too long."""
        passed = min(now - self._looked_at, self._step)
        self._looked_at = now
        self._seconds = 0.0 if answered else self._seconds + passed
        return self._seconds >= self.limit


class Watched(NamedTuple):
    """An engine that has said where it listens."""

    port: int
    ready: bool


async def until_silent(watched: Callable[[], Watched | None]) -> float:
    """Return once the engine has been silent too long, with the seconds that are too long.

    `watched` says whom to ask now; None: nobody. A ready engine must answer. One that loads must
    go on answering once it did: vLLM listens only when it is ready.
    """
    listens, ready = False, False
    silence = _silence(LOADING_SILENCE_SECONDS)
    while True:
        await asyncio.sleep(ASK_EVERY_SECONDS)
        engine = watched()
        if engine is None:
            continue
        if engine.ready and not ready:
            ready, silence = True, _silence(SILENCE_SECONDS)
        answered = await answers(engine.port)
        listens = listens or ready or answered
        if listens and silence.note(answered, time.monotonic()):
            return silence.limit


def _silence(limit: float) -> Silence:
    step = ASK_EVERY_SECONDS + ANSWER_SECONDS + SLACK_SECONDS
    return Silence(limit=limit, step=step, now=time.monotonic())


async def answers(port: int) -> bool:
    """True when the server at this loopback port says in time that it is well."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(QUESTION)
                status_line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return False
    return status_line.split(b" ")[1:2] == [b"200"]
