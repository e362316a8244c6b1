"""The data folder: there, writable, used by one appliance at a time, and keeper of our secret."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from appliance.errors import SetupError


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

    def open(self, url: str) -> None:
        """Take the folder for the appliance at `url`.

        Raises SetupError when it cannot be written or another appliance holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._note.write_text(json.dumps({"pid": os.getpid(), "url": url}), encoding="utf-8")
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

    def holder_url(self) -> str | None:
        """Where the appliance that uses this folder answers; None when none runs."""
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads(self._note.read_text(encoding="utf-8"))["url"])
        return None

    def close(self) -> None:
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
        self._lock.release()

    def secret(self) -> str:
        """The secret that signs sessions: made once, readable by the owner alone."""
        file = self.path / "session.secret"
        with suppress(FileNotFoundError):
            return file.read_text(encoding="ascii").strip()
        secret = secrets.token_urlsafe(32)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(secret)
        return secret

    def _holder(self) -> str:
        with suppress(OSError, ValueError, KeyError):
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return f" (process {note['pid']}, {note['url']})"
        return ""
