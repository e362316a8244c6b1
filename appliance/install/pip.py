"""Runs pip, keeps its words in a log, and says in one sentence what failed."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.install.progress import Progress

_OPTIONS = (
    "--disable-pip-version-check", "--no-input", "--only-binary=:all:", "--no-warn-script-location",
    "--no-compile",  # most files are never imported; `first_imports` compiles those that are
)  # fmt: skip
_SENTENCES = {
    r"No space left|Errno 28|WinError 112": (
        "The disk is full. Make room, then run the same command again; it goes on from here."
    ),
    r"DO NOT MATCH THE HASHES": (
        "A downloaded file is not the one this project was tested with, so it was not installed. "
        "Run the same command again; if this repeats, the package index serves a wrong file."
    ),
    (
        r"Retrying \(|NewConnectionError|name resolution|getaddrinfo|[Tt]imed? ?out|unreachable|"
        r"ProxyError|SSLError|Connection (refused|reset|aborted)"
    ): (
        "The package index cannot be reached. Check the network (or the proxy, or pip's "
        "index-url setting), then run the same command again; it goes on from here."
    ),
    r"No matching distribution|ResolutionImpossible": (
        "The package index has no build of a package for this system and Python. Supported are "
        "64-bit Linux, Windows and macOS on Apple silicon, with Python 3.11 to 3.13."
    ),
}
"""What pip says, and what that means for the owner. The first that is found counts."""


@dataclass(frozen=True)
class Outcome:
    """How one run of pip ended; `tail` holds its last lines, `killed` is True for a signal."""

    succeeded: bool
    tail: tuple[str, ...]
    killed: bool = False

    def sentence(self) -> str:
        if self.killed:
            return (
                "pip was ended from outside, perhaps because the memory ran out. Close other "
                "programs, then run the same command again; it goes on from here."
            )
        last = [line for line in self.tail if line][-6:]
        return explain(self.tail) or "pip failed; its last words were:\n" + "\n".join(
            f"    {line}" for line in last
        )


def explain(lines: Iterable[str]) -> str | None:
    """The owner's sentence for the known kinds of trouble, else None."""
    said = "\n".join(lines)
    return next((words for sign, words in _SENTENCES.items() if re.search(sign, said)), None)


def install(
    python: Path, arguments: tuple[str, ...], constraints: Path, log: Path, progress: Progress
) -> Outcome:
    """Runs `pip install arguments` in the environment of `python`, under the constraints."""
    command = [
        str(python), "-I", "-u", "-X", "utf8", "-m", "pip", "install", *_OPTIONS,
        "--progress-bar=raw" if progress.percentages else "--progress-bar=off",
        *(() if "--require-hashes" in arguments else ("--constraint", str(constraints))),
        *arguments,
    ]  # fmt: skip
    tail: deque[str] = deque(maxlen=60)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ pip install {' '.join(arguments)}\n")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=_environment(log.parent), text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        try:
            for line in _lines(process, progress):
                if line.startswith("Progress "):
                    continue
                file.write(line + "\n")
                tail.append(line)
        except BaseException:
            process.terminate()
            raise
        finally:
            process.wait()
    return Outcome(process.returncode == 0, tuple(tail), killed=process.returncode < 0)


def _environment(folder: Path) -> dict[str, str]:
    """pip unpacks beside the environment: /tmp may be small, or memory."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **os.environ,
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        "PIP_USER": "0",
    }


def _lines(process: subprocess.Popen[str], progress: Progress) -> Iterator[str]:
    """pip's lines as they come; the progress line moves on even while pip is silent."""
    pipe = process.stdout
    if pipe is None:
        return
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in pipe:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            progress.paint()
            continue
        if line is None:
            return
        progress.hear(line)
        yield line
