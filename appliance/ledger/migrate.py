"""From whatever stands in the database to the schema this version needs.

Everything that can be wrong with the file is found here, at the start, and said in a sentence
(SetupError) instead of failing later, request by request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from appliance.errors import SetupError
from appliance.ledger.migrations import HEAD
from appliance.ledger.schema import metadata

if TYPE_CHECKING:
    from appliance.ledger.database import Database

UPGRADE_SECONDS = 3600.0
"""How long a second process waits while the first one copies many rows and changes their schema."""
_VERSION = table("alembic_version", column("version_num"))


def migrate(database: Database, *, copies: Path, copying: bool) -> None:
    """Makes the file if need be and upgrades it to `HEAD`. Raises SetupError.

    With `copying`, a ledger that has something in it is copied before its first change: a file
    beside itself, a server's into the folder `copies`. One that is already at `HEAD` is left
    alone, without importing Alembic.
    """
    if database.file is not None:
        _prepare_file(database.file)
    with _explained(database):
        if _revision_of(database) == HEAD:
            return
        with database.updating(UPGRADE_SECONDS):
            # Whoever waited may find the work done by the process that came first.
            revision = _revision_of(database)
            if revision == HEAD:
                return
            _refuse_foreign(database, revision)
            if copying and revision is not None:
                from appliance.ledger.copies import copy_first

                copy_first(database, revision, copies)
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


def _revision_of(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return _revision(connection)


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


def _upgrade(database: Database) -> None:
    """Runs the missing steps in one transaction: all of them happen, or none."""
    from alembic import command

    config = _alembic_config()
    with database.begin_writing(patience=UPGRADE_SECONDS) as session:
        connection = session.connection()
        config.attributes["connection"] = connection
        # On SQLite this lock is the only one, and another process may have held it.
        if _revision(connection) != HEAD:
            command.upgrade(config, "head")
            session.commit()


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "appliance.ledger:migrations")
    return config
