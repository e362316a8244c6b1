"""Is the ledger well? Looks at everything that can be wrong with it, changes nothing, and tells.

Works while the appliance runs. Each finding says what it means and what to do.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.errors import SetupError
from appliance.ledger.copies import update_copies
from appliance.ledger.database import Database
from appliance.ledger.migrations import HEAD

Level = Literal["good", "note", "bad"]
MEGABYTE = 1_000_000
# Below this a busy week, or the copy before an update, may fill the disk.
LITTLE_ROOM = 1000 * MEGABYTE
LARGE_WAL = 256 * MEGABYTE
SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """`bad` needs somebody to act; a `note` is worth knowing."""

    level: Level
    text: str


def examine(url: str, folder: Path = Path()) -> Iterator[Finding]:
    """Every finding, as soon as it is made. Copies of a server's ledger are looked for in `folder`.

    Raises SetupError when there is nothing to look at.
    """
    database = Database(url)
    try:
        if not database.is_sqlite:
            from appliance.ledger.doctor_server import examine_server

            for level, text in examine_server(database):
                yield Finding(level, text)
            yield from _copies(database, folder)
            return
        if database.file is None:
            raise SetupError("Only a database in a plain file can be examined.")
        if not database.file.is_file():
            raise SetupError("There is no database at %(file)s yet.", file=str(database.file))
        yield from _examine_file(database.file)
        yield from _copies(database, folder)
    finally:
        database.close()


def _examine_file(file: Path) -> Iterator[Finding]:
    yield _disk(file)
    yield _wal(file)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as ledger:
            yield from _examine_ledger(ledger)
    except sqlite3.Error as error:
        yield Finding("bad", f"The database cannot be read: {error}. {RESTORE}")


RESTORE = (
    "Stop the appliance, keep this file, and put the newest good copy made with `backup` in its "
    "place."
)


def _examine_ledger(ledger: sqlite3.Connection) -> Iterator[Finding]:
    yield _integrity(ledger)
    schema = _schema(ledger)
    yield schema
    if schema.level == "good":
        for look in LOOKS:
            yield look(ledger)


def _integrity(ledger: sqlite3.Connection) -> Finding:
    found = [row[0] for row in ledger.execute(f"PRAGMA quick_check({SHOWN_PROBLEMS})")]
    if found == ["ok"]:
        return Finding("good", "The file is whole.")
    return Finding("bad", f"The file is damaged: {'; '.join(found)}. {RESTORE}")


def _schema(ledger: sqlite3.Connection) -> Finding:
    try:
        (found,) = ledger.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.OperationalError, TypeError):
        return Finding("bad", "It has no schema of the appliance: another program made this file.")
    if found == HEAD:
        return Finding("good", f"Its schema is the newest, {HEAD}.")
    if found < HEAD:
        text = f"Its schema is {found}; the next start brings it to {HEAD}, after making a copy."
        return Finding("note", text)
    return Finding("bad", f"Its schema {found} is newer than this version of the appliance.")


def _references(ledger: sqlite3.Connection) -> Finding:
    broken: dict[str, int] = {}
    for table, *_ in ledger.execute("PRAGMA foreign_key_check"):
        broken[table] = broken.get(table, 0) + 1
    if not broken:
        return Finding("good", "Every row that points at another finds it.")
    told = ", ".join(f"{number} in {table}" for table, number in broken.items())
    text = f"Rows point at others that are gone: {told}. A program deleted them past the rules."
    return Finding("bad", f"{text} {RESTORE}")


def _parts(ledger: sqlite3.Connection) -> Finding:
    (lost,) = ledger.execute(
        "SELECT count(*) FROM turn WHERE parent_id <> 0 "
        "AND NOT EXISTS (SELECT 1 FROM turn AS before WHERE before.id = turn.parent_id)"
    ).fetchone()
    if lost:
        return Finding("bad", f"{lost} messages of chats have lost the ones before them. {RESTORE}")
    (parts,) = ledger.execute("SELECT count(*) FROM part").fetchone()
    return Finding(
        "good", f"{parts} messages and tools are kept, each once, and each chat is whole."
    )


def _search(ledger: sqlite3.Connection) -> Finding:
    texts, words = (
        ledger.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours
        for table in ("searched", "searched_text_docsize")
    )
    if texts == words:
        return Finding("good", f"The search knows all {texts} texts.")
    return Finding("bad", f"The search knows {words} of {texts} texts. {REBUILD}")


REBUILD = (
    "Stop the appliance and run: sqlite3 appliance.db "
    "\"insert into searched_text(searched_text) values ('rebuild')\""
)


def _room(ledger: sqlite3.Connection) -> Finding:
    pages, free, size, shrinks = (
        ledger.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
    )
    text = f"{pages * size / MEGABYTE:.0f} MB, {free * size / MEGABYTE:.0f} MB of it free."
    if shrinks or free * 4 < pages:
        return Finding("good", text)
    advice = "New rows fill that; to give it back to the disk, put a copy made with `backup` here."
    return Finding("note", f"{text} {advice}")


LOOKS: tuple[Callable[[sqlite3.Connection], Finding], ...] = (_references, _parts, _search, _room)


def _disk(file: Path) -> Finding:
    free = shutil.disk_usage(file.parent).free
    text = f"{free / MEGABYTE:.0f} MB are free on the disk."
    if free >= max(LITTLE_ROOM, file.stat().st_size):
        return Finding("good", text)
    return Finding("bad", f"Only {text} An update copies the database first. Make room.")


def _wal(file: Path) -> Finding:
    wal = file.with_name(file.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size < LARGE_WAL:
        return Finding("good", f"{size / MEGABYTE:.0f} MB wait beside it to be moved in.")
    text = f"{size / MEGABYTE:.0f} MB wait beside it to be moved in: a program has been reading it"
    return Finding("note", f"{text} for a long time. Close programs that hold the file open.")


def _copies(database: Database, folder: Path) -> Iterator[Finding]:
    copies = update_copies(database, folder)
    if copies:
        size = sum(copy.stat().st_size for copy in copies) / MEGABYTE
        text = (
            f"{len(copies)} copies from before updates lie in {copies[0].parent} ({size:.0f} MB)."
        )
        yield Finding("note", f"{text} They hold what people asked then; delete them when you can.")
