"""How a bench ends: with everything that it has started."""

from __future__ import annotations

import atexit
import signal
import sys

import psutil

_SECONDS = 10.0


def end_with_children() -> None:
    """To be called first. SIGTERM becomes SystemExit, so that `finally` blocks have their turn,
    and what runs still at the end, such as a server that was starting, is ended then."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    atexit.register(end_children)


def end_children() -> None:
    """By hand only before `os._exit`."""
    children = psutil.Process().children()
    for child in children:
        child.terminate()
    _, alive = psutil.wait_procs(children, _SECONDS)
    for child in alive:
        child.kill()
