"""A consistent copy of the ledger while the appliance keeps running."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from appliance.errors import SetupError
from appliance.ledger.database import make_private_file
from appliance.ledger.dialects import sqlite_file


def backup(database_url: str, target: Path) -> None:
    """Writes a copy of the SQLite database at `database_url` to `target`.

    The copy is one moment's snapshot, compacted, in a single file that only its owner can
    read. Raises SetupError when there is nothing to copy, `target` exists or cannot be
    written; a copy that failed half-way leaves nothing behind.
    """
    source = sqlite_file(make_url(database_url))
    if source is None:
        raise SetupError(
            "Only a SQLite database is copied by this command. Use your database server's own "
            "tool, such as pg_dump."
        )
    if not source.is_file():
        raise SetupError("There is no database at %(source)s yet.", source=str(source))
    _claim(target)
    try:
        _copy(source, target)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, (sqlite3.Error, OSError)):
            raise SetupError(
                "The copy could not be written to %(target)s: %(reason)s.",
                target=str(target),
                reason=str(error),
            ) from error
        raise


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
