"""The data folder: there, writable, used by one appliance at a time, and keeper of our secret."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from appliance.errors import SetupError
from appliance.signing import SigningSecrets

LEAST_FREE_BYTES = 16 * 1024**2
"""A new ledger, its log and what a first hour writes; with less, a start breaks off half-way."""


def front_name(data_dir: Path) -> str:
    """What a ledger calls the appliance of this folder: the machine's name, and letters that tell
    the folder from others. Made by the first who asks; blocks for a moment."""
    file = data_dir / "front.name"
    # An empty file is what a full disk left of an earlier try.
    with suppress(FileNotFoundError):
        if name := file.read_text(encoding="utf-8"):
            return name
    name = f"{socket.gethostname()}-{secrets.token_hex(3)}"
    file.write_text(name, encoding="utf-8")
    return name


class DataFolder:
    """`open` it before anything is written, `close` it last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "appliance.lock")
        self._note = path / "appliance.running"

    @property
    def cache(self) -> Path:
        """Models fetched or converted; may be deleted, then it is made again."""
        return self.path / "models"

    @property
    def engine_log(self) -> Path:
        return self.path / "logs" / "engine.log"

    def open(self, url: str, join_url: str | None = None) -> None:
        """Take the folder for the appliance at `url`; other machines reach it at `join_url`.

        Raises SetupError when it cannot be written, has no room, or another appliance holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._need_room()
            self._lock.acquire(timeout=0)
            note = {"pid": os.getpid(), "url": url, "join_url": join_url}
            self._note.write_text(json.dumps(note), encoding="utf-8")
        except Timeout:
            raise SetupError(
                "Another appliance already uses %(folder)s%(where)s. Stop it first, or choose "
                "another folder with --data-dir.",
                folder=self.path,
                where=self._holder(),
            ) from None
        except OSError as error:
            raise SetupError(
                "The data folder %(folder)s cannot be written: %(error)s. Mend that, or choose "
                "another folder with --data-dir.",
                folder=self.path,
                error=error.strerror or error,
            ) from None

    def _need_room(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE_BYTES:
            raise SetupError(
                "The disk of the data folder %(folder)s is full: %(free)s MB are free, and at "
                "least %(least)s MB are needed. Make room, or choose another folder with "
                "--data-dir.",
                folder=self.path,
                free=f"{free / 1e6:.1f}",
                least=f"{LEAST_FREE_BYTES / 1e6:.0f}",
            )

    def holder_url(self) -> str | None:
        """Where the appliance that uses this folder answers; None when none runs."""
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads(self._note.read_text(encoding="utf-8"))["url"])
        return None

    def join_url(self) -> str | None:
        """Where other machines reach the appliance that runs on this folder; None: nowhere."""
        with suppress(OSError, ValueError, KeyError):
            found = json.loads(self._note.read_text(encoding="utf-8"))["join_url"]
            return None if found is None else str(found)
        return None

    def authority(self) -> bytes | None:
        """The certificate of our own authority, as PEM; None when there is none."""
        with suppress(OSError):
            return (self.tls / "authority.pem").read_bytes()
        return None

    def close(self) -> None:
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
        self._lock.release()

    @property
    def signing(self) -> SigningSecrets:
        """The secrets that sign sessions."""
        return SigningSecrets(self.path / "session.secret")

    @property
    def tls(self) -> Path:
        """The local authority, its certificates and their keys."""
        return self.path / "tls"

    def _holder(self) -> str:
        with suppress(OSError, ValueError, KeyError):
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return f" (process {note['pid']}, {note['url']})"
        return ""
