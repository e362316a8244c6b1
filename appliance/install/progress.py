"""What the owner sees while a step runs."""

from __future__ import annotations

import re
import shutil
import sys
import time


class Progress:
    """One line a step; on a terminal it is painted over and over while pip works."""

    def __init__(self, title: str, *, percentages: bool = True) -> None:
        self.title = title
        self.percentages = percentages and sys.stdout.isatty()
        self._doing = ""
        self._percent = ""
        self._began = time.monotonic()
        self._painted = 0.0
        print(title, end="", flush=True)

    def hear(self, line: str) -> None:
        if found := re.match(r"\s*Downloading (\S+?)(?:-\d\S*)?(?: \((.+)\))?$", line):
            self._doing, self._percent = f"{found[1].rsplit('/', 1)[-1]} {found[2] or ''}", ""
        elif found := re.match(r"Progress (\d+) of (\d+)", line):
            done, total = int(found[1]), int(found[2])
            self._percent = f" {100 * done // total} %" if total else ""
        elif line.startswith("Installing collected packages"):
            self._doing, self._percent = "unpacking", ""
        self.paint()

    def paint(self) -> None:
        now = time.monotonic()
        if sys.stdout.isatty() and now - self._painted > 0.1:
            self._painted = now
            self._write(f"{self.title}  {self._doing}{self._percent}  {self._seconds()}")

    def end(self, result: str = "") -> None:
        if sys.stdout.isatty():
            self._write(f"{self.title}  {result or self._seconds()}")
            print(flush=True)
        else:
            print(f"  {result or self._seconds()}", flush=True)

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:.0f} s"

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns
        print("\r" + text[: width - 1].ljust(width - 1), end="", flush=True)
