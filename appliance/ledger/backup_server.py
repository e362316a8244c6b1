"""A copy of a ledger on PostgreSQL, by the server's own pg_dump."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from appliance.errors import SetupError
from appliance.ledger.database import Database

TOOL = "pg_dump"


def dump(url: URL, target: Path) -> Callable[[], None]:
    """What writes the copy: one snapshot, compressed, for pg_restore. It may raise SetupError.

    Raises SetupError when pg_dump is missing or older than the server, or the server is silent.
    """
    command, password = _command(url, target)
    tool = shutil.which(TOOL)
    if tool is None:
        raise SetupError(
            "A copy of a PostgreSQL database is made by pg_dump, which is not installed here. "
            "Install it (Debian: postgresql-client), or run where it is: %(command)s",
            command=shlex.join(command),
        )
    ours, servers = _version(tool), _server_version(url)
    if ours < servers:
        raise SetupError(
            "pg_dump here is of version %(ours)s and refuses a server of version %(servers)s. "
            "Install the newer one, or run where it is: %(command)s",
            ours=ours, servers=servers, command=shlex.join(command),
        )  # fmt: skip
    return partial(_run, [tool, *command[1:]], password)


def _command(url: URL, target: Path) -> tuple[list[str], str | None]:
    """The command without the password, which every user of the machine could read; and that."""
    password = url.password or url.query.get("password")
    rest = url.difference_update_query(["password"])
    name = URL.create(
        "postgresql", rest.username, None, rest.host, rest.port, rest.database, rest.query
    ).render_as_string()
    command = [TOOL, "--format=custom", f"--file={target}", f"--dbname={name}"]
    return command, None if password is None else str(password)


def _version(tool: str) -> int:
    told = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)", told)
    return int(found[1]) if found else 0


def _server_version(url: URL) -> int:
    database = Database(url.render_as_string(hide_password=False))
    try:
        with database.engine.connect() as connection:
            number = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        raise SetupError(
            "The server does not answer: %(reason)s. Check it, and --database-url.", reason=reason
        ) from error
    finally:
        database.close()
    return int(number) // 10_000


def _run(command: list[str], password: str | None) -> None:
    own = {} if password is None else {"PGPASSWORD": password}
    done = subprocess.run(
        command, env=os.environ | own, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = " ".join(done.stderr.split()).rstrip(".") or f"status {done.returncode}"
        raise SetupError("pg_dump could not copy the database: %(reason)s.", reason=reason)
