"""What was asked, kept once: each message is a part, and an input is a string of turns.

A chat sends its whole history with every message, and an agent all of its tools. Only what is new
is stored; of a chat the rest is found again by the hash of everything up to there. What nobody
needs any more is pruned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, Select, bindparam, insert, or_
from sqlmodel import Session, col, delete, select

from appliance.ledger.columns import readable_json
from appliance.ledger.database import changed_rows
from appliance.ledger.tables import GenerationStored, Part, Turn

# Half a SHA-256: nobody finds two texts for it, and it is stored four times a message.
HASH_BYTES = 16
# What every database takes as parameters of one statement.
AT_ONCE = 500
BEGINNING = 0


class _Known(NamedTuple):
    """The ids of those hashes that a table has: of one, or of many, which is dearer to put."""

    one: Select[*tuple[Any, ...]]
    many: Select[*tuple[Any, ...]]

    @staticmethod
    def of(table: type[Part] | type[Turn]) -> _Known:
        own = col(table.hash)
        found: Select[*tuple[Any, ...]] = Select(own, col(table.id))
        many = own.in_(bindparam("hashes", expanding=True))
        return _Known(found.where(own == bindparam("one")), found.where(many))


# Built once, so that no request pays for making SQL.
_KNOWN_PARTS, _KNOWN_TURNS = _Known.of(Part), _Known.of(Turn)
_NEW_PART, _NEW_TURN = insert(Part), insert(Turn)


def keep_input(session: Session, said: Sequence[Any] | str) -> int | None:
    """Stores what is new of an input: messages, or a raw prompt. Returns its last turn's id."""
    pieces = [said] if isinstance(said, str) else list(said)
    if not pieces:
        return None
    connection = session.connection()
    hashes = [_digest(readable_json(piece).encode()) for piece in pieces]
    chain = list(accumulate(hashes, lambda before, part: _digest(before + part)))
    known = _ids(connection, _KNOWN_TURNS, chain)
    depth = next((n for n in range(len(chain), 0, -1) if chain[n - 1] in known), 0)
    turn_id = known[chain[depth - 1]] if depth else BEGINNING
    parts = _ids(connection, _KNOWN_PARTS, hashes[depth:])
    new = zip(pieces[depth:], hashes[depth:], chain[depth:], strict=True)
    for piece, own, whole in new:
        if own not in parts:
            parts[own] = _insert(connection, _NEW_PART, {"hash": own, "content": piece})
        row = {"parent_id": turn_id, "part_id": parts[own], "hash": whole}
        turn_id = _insert(connection, _NEW_TURN, row)
    return turn_id


def keep_part(session: Session, content: Any) -> int | None:
    """Stores what is not a message, such as the tools of a request, and returns its part's id."""
    if content is None:
        return None
    connection, own = session.connection(), _digest(readable_json(content).encode())
    known = _ids(connection, _KNOWN_PARTS, [own])
    return known.get(own) or _insert(connection, _NEW_PART, {"hash": own, "content": content})


def prune(session: Session, turn_ids: Iterable[int], part_ids: Iterable[int] = ()) -> int:
    """Deletes those turns that no generation and no later turn needs, with the turns before them
    that are then not needed either, and their parts; and those of `part_ids` that nothing needs.
    How many turns and parts of these went."""
    gone = _drop_parts(session, set(part_ids))
    waiting = set(turn_ids) - {BEGINNING}
    while waiting:
        free = _unneeded(session, sorted(waiting)[:AT_ONCE])
        waiting.difference_update(sorted(waiting)[:AT_ONCE])
        if not free:
            continue
        ids = [turn.id for turn in free]
        gone += changed_rows(session, delete(Turn).where(col(Turn.id).in_(ids)))
        _drop_parts(session, {turn.part_id for turn in free})
        waiting.update({turn.parent_id for turn in free} - {BEGINNING})
    return gone


def unneeded_turns(session: Session, limit: int) -> list[int]:
    """Ends of inputs that no generation has (any more): for the sweep. Reads, slowly."""
    last = select(Turn.id).where(_is_last(), _is_nobodys()).limit(limit)
    return [turn_id for turn_id in session.exec(last) if turn_id is not None]


def unneeded_parts(session: Session, limit: int) -> list[int]:
    """Parts that nothing has (any more): for the sweep. Reads, slowly."""
    found = session.exec(select(Part.id).where(_is_unused()).limit(limit))
    return [part_id for part_id in found if part_id is not None]


def _unneeded(session: Session, turn_ids: Sequence[int]) -> list[Turn]:
    query = select(Turn).where(col(Turn.id).in_(turn_ids), _is_last(), _is_nobodys())
    return list(session.exec(query))


def _is_last() -> Any:
    later = Turn.__table__.alias("later")  # type: ignore[attr-defined]
    return ~select(later.c.id).where(later.c.parent_id == Turn.id).exists()


def _is_nobodys() -> Any:
    asked = col(GenerationStored.turn_id) == Turn.id
    return ~select(GenerationStored.id).where(asked).exists()


def _is_unused() -> Any:
    said = select(Turn.id).where(Turn.part_id == Part.id).exists()
    columns = (GenerationStored.tools_id, GenerationStored.form_id)
    given = (select(GenerationStored.id).where(col(own) == Part.id).exists() for own in columns)
    return ~or_(said, *given)


def _drop_parts(session: Session, part_ids: set[int]) -> int:
    gone, ids = 0, sorted(part_ids)
    for start in range(0, len(ids), AT_ONCE):
        these = col(Part.id).in_(ids[start : start + AT_ONCE])
        gone += changed_rows(session, delete(Part).where(these, _is_unused()))
    return gone


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:HASH_BYTES]


def _ids(connection: Connection, known: _Known, hashes: Sequence[bytes]) -> dict[bytes, int]:
    if len(hashes) == 1:
        rows = connection.execute(known.one, {"one": hashes[0]})
        return {bytes(own): id_ for own, id_ in rows}
    found: dict[bytes, int] = {}
    for start in range(0, len(hashes), AT_ONCE):
        rows = connection.execute(known.many, {"hashes": hashes[start : start + AT_ONCE]})
        found.update((bytes(own), id_) for own, id_ in rows)
    return found


def _insert(connection: Connection, statement: Insert, row: dict[str, Any]) -> int:
    key = connection.execute(statement, row).inserted_primary_key
    assert key is not None  # noqa: S101 - one row was inserted
    return int(key[0])
