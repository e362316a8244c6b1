"""A consistent copy of the ledger while the appliance keeps running."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from sqlalchemy import URL, make_url

from appliance.errors import SetupError
from appliance.ledger.database import make_private_file
from appliance.ledger.dialects import sqlite_file


def backup(database_url: str, target: Path) -> None:
    """Writes a copy of the database at `database_url` to `target`.

    The copy is one moment's snapshot, compacted, in a single file that only its owner can
    read; of a server it is what its pg_dump writes. Raises SetupError when there is nothing to
    copy, `target` exists or cannot be written; a copy that failed half-way leaves nothing behind.
    """
    copy = _copier(make_url(database_url), target)
    _claim(target)
    try:
        copy()
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, (sqlite3.Error, OSError)):
            raise SetupError(
                "The copy could not be written to %(target)s: %(reason)s.",
                target=str(target),
                reason=str(error),
            ) from error
        raise


def _copier(url: URL, target: Path) -> Callable[[], None]:
    """What makes the copy, once it is sure that there is something to copy and the means to."""
    if url.get_backend_name() in ("postgresql", "postgres"):
        from appliance.ledger.backup_server import dump

        return dump(url, target)
    source = sqlite_file(url)
    if source is None:
        raise SetupError("Only a SQLite database in a plain file, or PostgreSQL, can be copied.")
    if not source.is_file():
        raise SetupError("There is no database at %(source)s yet.", source=str(source))
    return partial(_copy, source, target)


def _claim(target: Path) -> None:
    """Makes the empty target, so that no one else's file can be overwritten."""
    try:
        made = make_private_file(target)
    except OSError as error:
        raise SetupError(
            "The copy cannot be written to %(target)s: %(reason)s. Choose another place.",
            target=str(target),
            reason=error.strerror or str(error),
        ) from error
    if not made:
        raise SetupError(
            "%(target)s exists already and is not overwritten. Choose another name.",
            target=str(target),
        )


def _copy(source: Path, target: Path) -> None:
    # VACUUM INTO reads one snapshot, so unlike the page-by-page backup it does not start
    # again whenever somebody writes.
    uri = f"{source.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))
    with target.open("rb+") as file:
        os.fsync(file.fileno())
