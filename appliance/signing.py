"""The secrets that sign session cookies: a file that only the owner reads, renewed monthly.

A new secret signs from then on; those before it are still believed for as long as a session lives,
so nobody notices. Replacing all of them signs every browser out. Where several appliances share a
ledger they share the secrets in it: `signing_shared`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DAY_SECONDS = 24 * 3600
RENEWED_AFTER = 30 * DAY_SECONDS
# A cookie signed on a secret's last day lives for another 30.
BELIEVED_FOR = 61 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Secret:
    """`made_at` is in seconds since 1970."""

    made_at: int
    text: str


class Signing(Protocol):
    """Call it for the secrets in force, the one that signs last."""

    def __call__(self) -> Sequence[str]: ...

    def replace(self) -> None:
        """One new secret in place of all: every session ends. Blocks for a moment."""
        ...


class SigningSecrets:
    """`Signing` in a file."""

    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now
        self._known = self._read()

    def __call__(self) -> Sequence[str]:
        now = int(self._now())
        if is_due(self._known, now):
            self._keep([*self._known, new_secret(now)])
        return [one.text for one in believed(self._known, now)]

    def replace(self) -> None:
        self._keep([new_secret(int(self._now()))])

    def _keep(self, wanted: list[Secret]) -> None:
        """Written whole or not at all, and never readable by others."""
        self._known = believed(wanted, int(self._now()))
        # mkstemp makes files that only their owner can read.
        descriptor, name = tempfile.mkstemp(dir=self._file.parent, prefix=self._file.name)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.writelines(f"{one.made_at} {one.text}\n" for one in self._known)
        Path(name).replace(self._file)

    def _read(self) -> list[Secret]:
        with suppress(FileNotFoundError):
            made = int(self._file.stat().st_mtime)
            lines = self._file.read_text(encoding="ascii").split("\n")
            return [_parsed(line, made) for line in lines if line.strip()]
        return []


def new_secret(now: int) -> Secret:
    return Secret(now, secrets.token_urlsafe(32))


def is_due(known: Sequence[Secret], now: int) -> bool:
    """Whether it is time for another to sign."""
    return not known or now - known[-1].made_at > RENEWED_AFTER


def believed(known: Sequence[Secret], now: int) -> list[Secret]:
    return [one for one in known if now - one.made_at < BELIEVED_FOR]


def _parsed(line: str, made_at: int) -> Secret:
    """A line; a file of the first version holds nothing but its one secret."""
    moment, _, text = line.strip().rpartition(" ")
    return Secret(int(moment) if moment.isdecimal() else made_at, text)
