"""The copy of a ledger that is made before an update changes its tables."""

from __future__ import annotations

import glob
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, select, table

from appliance.errors import SetupError
from appliance.ledger.backup import backup
from appliance.ledger.schema import metadata

if TYPE_CHECKING:
    from appliance.ledger.database import Database

COPIES_KEPT = 3


def copy_first(database: Database, revision: str, folder: Path) -> None:
    """Copies a ledger of the schema `revision`: a file beside itself, a server's into `folder`.

    The name tells schema and moment; the last `COPIES_KEPT` stay. A server without a row is not
    copied. Raises SetupError when the copy cannot be made; then nothing has been changed.
    """
    if database.file is None and not _has_rows(database):
        return
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    place, stem, suffix = _parts(database, folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        backup(
            database.url.render_as_string(hide_password=False),
            place / f"{stem}.schema-{revision}.{moment}{suffix}",
        )
    except (SetupError, OSError) as error:
        raise SetupError(
            "This version has to change the tables of the ledger, and copies it first. That "
            "failed, and nothing was changed: %(reason)s Mend that and start again; or, with a "
            "copy of your own at hand, start with --no-update-copy.",
            reason=f"{str(error).rstrip('.')}.",
        ) from error
    for old in update_copies(database, folder)[:-COPIES_KEPT]:
        old.unlink(missing_ok=True)


def update_copies(database: Database, folder: Path) -> list[Path]:
    """The copies that were made of this ledger before updates, oldest first."""
    place, stem, suffix = _parts(database, folder)
    copies = place.glob(f"{glob.escape(stem)}.schema-*Z{suffix}")
    return sorted(copies, key=lambda copy: (copy.stat().st_mtime, copy.name))


def _parts(database: Database, folder: Path) -> tuple[Path, str, str]:
    """Where copies lie, how their names begin and how they end."""
    if database.file is not None:
        return database.file.parent, database.file.stem, database.file.suffix
    name = database.url.database or database.url.username or "ledger"  # as the server has it
    return folder, re.sub(r"[^\w-]", "_", name), ".dump"


def _has_rows(database: Database) -> bool:
    with database.engine.connect() as connection:
        known = inspect(connection)
        there = set(known.get_table_names()) & set(metadata.tables)
        return any(
            connection.scalar(select(select(1).select_from(table(name)).exists()))
            for name in sorted(there)
        )
