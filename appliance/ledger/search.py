"""Finding words in what was asked, answered and thought, in any script.

Each generation gives two texts to `searched`: what was asked anew, and the answer with its
thinking. Trigrams find any three characters in a row, so Chinese needs no word list. The index
knows no text of its own; a trigger takes out what is deleted, so that a request leaves nothing in
it however it goes.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, column, func, table, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, insert

from appliance.ledger.columns import storable
from appliance.ledger.tables_feedback import Searched

EARLIER_CHARACTERS = 2000
"""How much of the turns before the last one is searched with a request: each of them was the
last turn of an earlier request, and a long chat must not fill the index again at each turn."""
SHORTEST_IN_INDEX = 3
RECENT_TEXTS = 20_000
"""How many of the newest texts are read for a search of one or two characters."""

TEXTS_IN_FLIGHT = 500
"""An answer is written after its question; so many other texts may come between them."""

_INSERT = insert(Searched)
_INDEX = table("searched_text", column("rowid"), column("text"))
_INSERT_WORDS = insert(_INDEX)
_NEXT = text(
    "SELECT request_id, input, output, reasoning FROM generation WHERE request_id > :after "
    "ORDER BY request_id LIMIT 500"
)
_TABLE = """CREATE VIRTUAL TABLE searched_text
USING fts5(text, content='searched', content_rowid='id', tokenize='trigram', detail='none')"""
_WHEN_ADDED = """CREATE TRIGGER searched_added AFTER INSERT ON searched BEGIN
INSERT INTO searched_text(rowid, text) VALUES (new.id, new.text); END"""
_WHEN_REMOVED = """CREATE TRIGGER searched_removed AFTER DELETE ON searched BEGIN
INSERT INTO searched_text(searched_text, rowid, text) VALUES ('delete', old.id, old.text); END"""
SECURE_DELETE_SINCE = (3, 42)


def index(session: Session, request_id: str, found: str) -> None:
    """Makes `found` searchable as a text of this request; an empty one is left out."""
    if not found:
        return
    connection, found = session.connection(), storable(found)
    made = connection.execute(_INSERT, {"request_id": request_id, "text": found})
    if connection.dialect.name == "sqlite" and made.inserted_primary_key is not None:
        # Not by a trigger: each row of a trigger would write a piece of the index of its own,
        # and all the pieces have to be merged.
        row = {"rowid": made.inserted_primary_key[0], "text": found}
        connection.execute(_INSERT_WORDS, row)


def input_text(asked: list[Any] | str | None) -> str:
    """What is searched of an input: the last turn whole, of the earlier ones the nearest."""
    if not isinstance(asked, list):
        return asked or ""
    last = max((n for n, turn in enumerate(asked) if _role(turn) == "assistant"), default=-1) + 1
    anew = [turn for turn in asked[last:] if _role(turn) != "system"]
    earlier = [turn for turn in asked if turn not in anew]
    before = "\n".join(filter(None, map(_said, earlier)))
    kept = before[-EARLIER_CHARACTERS:] if before else ""
    return "\n".join(filter(None, [kept, *map(_said, anew)]))


def output_text(output: str | None, reasoning: str | None) -> str:
    """What is searched of an answer: its thinking and its text."""
    return "\n".join(filter(None, (reasoning, output)))


def scrub(session: Session) -> None:
    """Takes the terms of deleted texts out of the index file itself; slow on a large ledger."""
    if session.get_bind().dialect.name == "sqlite":
        session.connection().exec_driver_sql(
            "INSERT INTO searched_text(searched_text) VALUES ('optimize')"
        )


def matching(words: str, sqlite: bool) -> ColumnElement[bool]:
    """Whether a text of `searched` holds `words`, as they are, in any case of letters."""
    if sqlite:
        # A LIKE pattern with ESCAPE would not use the index: the two wildcards become "any
        # character" in it, and are looked for exactly afterwards.
        pattern = "%" + words.replace("%", "_") + "%"
        indexed = _INDEX.c.text
        found: ColumnElement[bool] = indexed.like(pattern)
        if "%" in words or "_" in words:
            found &= func.instr(func.lower(indexed), func.lower(words)) > 0
        return found
    return col(Searched.text).icontains(words, autoescape=True)


def newest_matches(
    words: str,
    *,
    before: str | None,
    most: int,
    sqlite: bool,
    window: tuple[int, int] | None = None,
) -> Any:
    """Requests of the newest texts that hold `words`, at most `most` and older than `before`.

    Words too short for the index are looked for among the newest `RECENT_TEXTS` texts, others
    among those with an id in the `window`: from its first number up to its second.
    """
    own = col(Searched.request_id)
    if len(words) < SHORTEST_IN_INDEX:
        recent: Any = Select(col(Searched.id), own, col(Searched.text))
        if before is not None:
            recent = recent.where(col(Searched.id) <= near(before), own < before)
        texts = recent.order_by(col(Searched.id).desc()).limit(RECENT_TEXTS).subquery("recent")
        query: Any = Select(texts.c.request_id)
        query = query.where(texts.c.text.icontains(words, autoescape=True))
        return query.order_by(texts.c.id.desc()).limit(most)
    rowid: Any = col(Searched.id)
    query = Select(own)
    if sqlite:
        rowid = _INDEX.c.rowid
        query = query.select_from(_INDEX.join(Searched, col(Searched.id) == rowid))
    if window is not None:
        query = query.where(rowid >= window[0], rowid < window[1])
    if before is not None:
        query = query.where(own < before)
        query = query if window else query.where(rowid <= near(before))
    return query.where(matching(words, sqlite)).order_by(rowid.desc()).limit(most)


def near(before: str) -> Any:
    """An id of a text beyond which no request older than `before` has one."""
    query: Any = Select(col(Searched.id) + TEXTS_IN_FLIGHT)
    query = query.where(col(Searched.request_id) < before)
    return query.order_by(col(Searched.request_id).desc()).limit(1).scalar_subquery()


def create_index(connection: Connection) -> None:
    """Makes the index over `searched`; called once, by the migration."""
    if connection.dialect.name == "sqlite":
        for statement in (_TABLE, _WHEN_ADDED, _WHEN_REMOVED):
            connection.exec_driver_sql(statement)
        if sqlite3.sqlite_version_info >= SECURE_DELETE_SINCE:
            connection.exec_driver_sql(
                "INSERT INTO searched_text(searched_text, rank) VALUES ('secure-delete', 1)"
            )
    elif _has_trigrams(connection):
        connection.exec_driver_sql(
            "CREATE INDEX searched_trigrams ON searched USING gin (text gin_trgm_ops)"
        )


def index_what_is_there(connection: Connection) -> None:
    """Makes rows of earlier versions searchable; called once, by the migration."""
    after = ""
    while rows := connection.execute(_NEXT, {"after": after}).mappings().all():
        found = [entry for row in rows for entry in _texts_of(row)]
        if found:
            connection.execute(_INSERT, found)
        after = rows[-1]["request_id"]


def _texts_of(row: RowMapping) -> list[dict[str, str]]:
    asked = json.loads(row["input"]) if isinstance(row["input"], str) else row["input"]
    texts = (input_text(asked), output_text(row["output"], row["reasoning"]))
    return [{"request_id": row["request_id"], "text": found} for found in texts if found]


def _has_trigrams(connection: Connection) -> bool:
    """Tries for pg_trgm; without it, searching reads the table, which is slow but right."""
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if connection.exec_driver_sql(available).first() is None:
        return False
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DBAPIError:  # not allowed to this user
        return False
    return True


def _role(turn: Any) -> str:
    return str(turn.get("role", "")) if isinstance(turn, dict) else ""


def _said(turn: Any) -> str:
    content = turn.get("content") if isinstance(turn, dict) else None
    return content if isinstance(content, str) else ""
