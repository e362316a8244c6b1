"""Finding words in what was asked, answered and thought, in any script.

Each generation gives two texts to `searched`: what was asked anew, and the answer with its
thinking. Trigrams find any three characters in a row, so Chinese needs no word list. The index
knows no text of its own; a trigger takes out what is deleted, so that a request leaves nothing in
it however it goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    column,
    func,
    literal_column,
    table,
)
from sqlmodel import Session, col, insert

from appliance.ledger.columns import storable
from appliance.ledger.tables import RequestRecord
from appliance.ledger.tables_feedback import Searched

EARLIER_CHARACTERS = 2000
"""How much of the turns before the last one is searched with a request: each of them was the
last turn of an earlier request, and a long chat must not fill the index again at each turn."""
SHORTEST_IN_INDEX = 3
STRETCH_BITS = 15
"""On a server the index knows of each text in which stretch of 2^15 ids it lies, so that it can be
asked for one of them at a time."""

TEXTS_IN_FLIGHT = 500
"""An answer is written after its question; so many other texts may come between them."""

_INSERT = insert(Searched)
_INDEX = table("searched_text", column("rowid"), column("text"))
_INSERT_WORDS = insert(_INDEX)


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


Way = Literal["words", "stretch", "texts"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Texts with ids from `low` up to, and without, `high`, and how they are looked through.

    By the index of words in a file; by that of a server, which knows `low`'s stretch; or by
    reading the `texts` themselves.
    """

    low: int
    high: int
    way: Way


def newest_matches(words: str, within: Stretch, *, before: str | None, most: int) -> Any:
    """Texts that hold `words`, the newest first, and their requests, all older than `before`."""
    own, rowid = col(Searched.request_id), cast(Any, Searched.id)
    query: Any = Select(rowid, own)
    if within.way == "words":
        rowid = _INDEX.c.rowid
        query = Select(rowid, own).select_from(_INDEX.join(Searched, col(Searched.id) == rowid))
        query = query.where(_in_file(words))
    elif within.way == "texts":
        query = query.where(_read(words))
    else:
        query = query.where(col(Searched.text).icontains(words, autoescape=True))
        stretch = rowid.bitwise_rshift(literal_column(str(STRETCH_BITS)))
        query = query.where(stretch == within.low >> STRETCH_BITS)
        # No index on the ids is to be used: walking along it would read every text.
        rowid = rowid + literal_column("0")
    if before is not None:
        query = query.where(own < before)
    query = query.where(rowid >= within.low, rowid < within.high)
    return query.order_by(rowid.desc()).limit(most)


def _in_file(words: str) -> ColumnElement[bool]:
    """Whether the index holds `words`, as they are, in any case of letters."""
    # A LIKE pattern with ESCAPE would not use the index: the two wildcards become "any
    # character" in it, and are looked for exactly afterwards.
    indexed = _INDEX.c.text
    found: ColumnElement[bool] = indexed.like("%" + words.replace("%", "_") + "%")
    if "%" in words or "_" in words:
        found &= func.instr(func.lower(indexed), func.lower(words)) > 0
    return found


def _read(words: str) -> ColumnElement[bool]:
    """Whether a text holds `words`; written so that no index is used, which has them all."""
    return (col(Searched.text) + literal_column("''")).icontains(words, autoescape=True)


def holds(words: str) -> ColumnElement[bool]:
    """Whether a request has a text with `words` in it; for a few requests, as no index is used."""
    own = col(Searched.request_id) == RequestRecord.id
    texts: Any = Select(col(Searched.id)).where(own, _read(words))
    found: ColumnElement[bool] = texts.correlate(RequestRecord).exists()
    return found


def near(before: str) -> Any:
    """An id of a text beyond which no request older than `before` has one."""
    query: Any = Select(col(Searched.id) + TEXTS_IN_FLIGHT)
    query = query.where(col(Searched.request_id) < before)
    return query.order_by(col(Searched.request_id).desc()).limit(1).scalar_subquery()


def _role(turn: Any) -> str:
    return str(turn.get("role", "")) if isinstance(turn, dict) else ""


def _said(turn: Any) -> str:
    content = turn.get("content") if isinstance(turn, dict) else None
    return content if isinstance(content, str) else ""
