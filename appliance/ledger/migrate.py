"""From whatever stands in the database to the schema this version needs.

Everything that can be wrong with the file is found here, at the start, and said in a sentence
(SetupError) instead of failing later, request by request.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from appliance.errors import SetupError
from appliance.ledger.migrations import HEAD
from appliance.ledger.schema import metadata

if TYPE_CHECKING:
    from appliance.ledger.database import Database

COPIES_KEPT = 3
UPGRADE_SECONDS = 600.0
"""How long a second process waits while the first one changes the schema of many rows."""
_VERSION = table("alembic_version", column("version_num"))


def migrate(database: Database) -> None:
    """Makes the file if need be and upgrades it to `HEAD`. Raises SetupError.

    An existing database is copied next to itself before its first change, and the last
    `COPIES_KEPT` of such copies are kept. A database already
    at `HEAD` is left alone, without importing Alembic.
    """
    if database.file is not None:
        _prepare_file(database.file)
    with _explained(database):
        with database.engine.connect() as connection:
            revision = _revision(connection)
        if revision == HEAD:
            return
        _refuse_foreign(database, revision)
        _copy_first(database, revision)
        _upgrade(database)


def _prepare_file(file: Path) -> None:
    """Makes folder and file, and sees that this user may write both."""
    from appliance.ledger.database import make_private_file

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        make_private_file(file)
    except OSError as error:
        raise SetupError(
            "The data folder %(folder)s cannot be written: %(reason)s. Make it writable, or "
            "choose another one with --data-dir.",
            folder=str(file.parent),
            reason=error.strerror or str(error),
        ) from error
    # SQLite needs files of its own beside the database, so the folder counts too.
    for path in (file, file.parent):
        if not os.access(path, os.W_OK):
            raise SetupError(
                "%(path)s is read-only. Make it writable, or choose another folder with "
                "--data-dir.",
                path=str(path),
            )


@contextmanager
def _explained(database: Database) -> Iterator[None]:
    """Turns the driver's errors into a SetupError that says what to do."""
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        known = _ADVICE if database.is_sqlite else _SERVER_ADVICE
        advice = next((advice for sign, advice in known.items() if sign in reason), known[""])
        raise SetupError(
            "The database %(name)s cannot be opened: %(reason)s. " + advice,
            name=str(database.file or database.url.render_as_string(hide_password=True)),
            reason=reason,
        ) from error


_ADVICE = {
    "not a database": "Another file lies in its place; move it away, or choose another folder "
    "with --data-dir.",
    "malformed": "The file is damaged; put a copy made with `backup` in its place.",
    "locked": "Another program is writing to it; close that program and start again.",
    "readonly": "Make the file writable, or choose another folder with --data-dir.",
    "full": "Free some space on that disk and start again.",
    "": "Check the file and the disk, or choose another folder with --data-dir.",
}
_SERVER_ADVICE = {
    "authentication failed": "Check the name and the password in --database-url.",
    "no password": "Give the password in --database-url: postgresql://USER:PASSWORD@HOST/NAME.",
    "does not exist": "Create the user and the database on the server first (createdb).",
    "permission denied": "Let this user own the database: ALTER DATABASE … OWNER TO ….",
    "lock timeout": "Another program is writing to it or updating it; start again in a while.",
    "": "Check that the server runs and that --database-url leads to it.",
}


def _revision(connection: Connection) -> str | None:
    """The schema the database has; None when it is new."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.scalar(select(_VERSION.c.version_num))
    return found


def _refuse_foreign(database: Database, revision: str | None) -> None:
    """Refuses a database that a newer version or another program has made."""
    if revision is not None:
        if not _is_known(revision):
            raise SetupError(
                "The database %(name)s was written by a newer version of the appliance "
                "(schema %(found)s; this version knows up to %(known)s). Update the "
                "appliance, or choose another folder with --data-dir.",
                name=str(database.file or database.url.database),
                found=revision,
                known=HEAD,
            )
        return
    taken = sorted(set(inspect(database.engine).get_table_names()) & set(metadata.tables))
    if taken:
        raise SetupError(
            "The database %(name)s already has tables called %(tables)s that the appliance did "
            "not make. Choose another folder with --data-dir, or another --database-url.",
            name=str(database.file or database.url.database),
            tables=", ".join(taken),
        )


def _is_known(revision: str) -> bool:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    return revision in {script.revision for script in scripts.walk_revisions()}


def _copy_first(database: Database, revision: str | None) -> None:
    """Copies an existing SQLite database beside itself, named by revision and moment."""
    from appliance.ledger.backup import backup

    if revision is None or database.file is None:
        return
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    file = database.file
    copy = file.with_name(f"{file.stem}.schema-{revision}.{moment}{file.suffix}")
    backup(database.url.render_as_string(hide_password=False), copy)
    for old in migration_copies(file)[:-COPIES_KEPT]:
        old.unlink(missing_ok=True)


def migration_copies(file: Path) -> list[Path]:
    """The copies that were made of this database before changes, oldest first."""
    copies = file.parent.glob(f"{glob.escape(file.stem)}.schema-*Z{file.suffix}")
    return sorted(copies, key=lambda copy: (copy.stat().st_mtime, copy.name))


def _upgrade(database: Database) -> None:
    """Runs the missing steps in one transaction: all of them happen, or none."""
    from alembic import command

    config = _alembic_config()
    with database.begin_writing(patience=UPGRADE_SECONDS) as session:
        connection = session.connection()
        config.attributes["connection"] = connection
        # Whoever waited for the lock may find the work done by the process that held it.
        if _revision(connection) != HEAD:
            command.upgrade(config, "head")
            session.commit()


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "appliance.ledger:migrations")
    return config
