"""Texts and programs that people work on: saved as versions, never overwritten.

Every statement carries `owner`; a draft of somebody else is, for the caller, not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from appliance.errors import NotFound
from appliance.ledger.database import Database
from appliance.ledger.ids import new_id
from appliance.ledger.tables_drafts import Draft, DraftVersion
from appliance.ledger.writer import Writer

MAX_TITLE_LENGTH = 80
VERSIONS_KEPT = 100
"""The oldest version goes when there are more: a draft's size must have a bound."""


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A draft in a list."""

    id: str
    title: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a list: without its text, whose length in characters is `length`."""

    id: str
    created_at: datetime
    task: str
    length: int


@dataclass(frozen=True, slots=True)
class DraftDetail:
    """A draft, its versions with the newest first, and the whole of one of them."""

    draft: Draft
    versions: Sequence[VersionRow]
    open: DraftVersion

    @property
    def newest(self) -> bool:
        """Whether the open version is the newest one."""
        return self.versions[0].id == self.open.id


class Drafts:
    """Saves, lists and deletes. Writes are committed when a call returns.

    Whatever names a draft or version raises NotFound when it is not there or not `owner`'s.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def save(
        self, owner: str, kind: str, text: str, *, draft_id: str = "", **made: str
    ) -> DraftVersion:
        """A new version, or the newest one when it has this very text.

        Without a `draft_id` it begins a new draft. `made` may say `task` and `language`.
        """

        def write(session: Session) -> DraftVersion:
            draft = _find(session, owner, draft_id, kind) if draft_id else _begin(owner, kind)
            newest = session.exec(_newest_first(draft.id).limit(1)).first()
            if newest is not None and newest.text == text:
                return newest
            draft.title, draft.updated_at = _title(text), datetime.now(UTC)
            session.add(draft)
            session.flush()
            version = _version(draft, text, made)
            session.add(version)
            session.flush()
            _drop_oldest(session, draft.id)
            return version

        return await self._writer.execute(write)

    async def get(self, owner: str, kind: str, draft_id: str, version_id: str = "") -> DraftDetail:
        """The draft with its version `version_id`, or with its newest one."""
        await self._writer.drained()
        return await self._database.read(
            lambda session: _detail(session, owner, kind, draft_id, version_id)
        )

    async def recent(self, owner: str, kind: str, limit: int = 30) -> Sequence[DraftRow]:
        """The drafts last worked on, newest first."""
        query = (
            select(Draft)
            .where(Draft.owner == owner, Draft.kind == kind)
            .order_by(col(Draft.updated_at).desc(), col(Draft.id).desc())
            .limit(limit)
        )
        await self._writer.drained()
        found = await self._database.read(lambda session: session.exec(query).all())
        return tuple(DraftRow(one.id, one.title, one.updated_at) for one in found)

    async def delete(self, owner: str, kind: str, draft_id: str) -> None:
        """Removes the draft with all its versions, for good."""
        await self._writer.execute(
            lambda session: session.delete(_find(session, owner, draft_id, kind))
        )


def _begin(owner: str, kind: str) -> Draft:
    now = datetime.now(UTC)
    return Draft(id=new_id(), owner=owner, kind=kind, title="", created_at=now, updated_at=now)


def _version(draft: Draft, text: str, made: dict[str, str]) -> DraftVersion:
    return DraftVersion(
        id=new_id(), draft_id=draft.id, created_at=draft.updated_at, text=text, **made
    )


def _find(session: Session, owner: str, draft_id: str, kind: str) -> Draft:
    draft = session.get(Draft, draft_id)
    if draft is None or draft.owner != owner or draft.kind != kind:
        raise NotFound("This text does not exist, or is not yours.")
    return draft


def _newest_first(draft_id: str) -> SelectOfScalar[DraftVersion]:
    return (
        select(DraftVersion)
        .where(DraftVersion.draft_id == draft_id)
        .order_by(col(DraftVersion.id).desc())
    )


def _drop_oldest(session: Session, draft_id: str) -> None:
    ids = select(DraftVersion.id).where(DraftVersion.draft_id == draft_id)
    old = session.exec(ids.order_by(col(DraftVersion.id).desc()).offset(VERSIONS_KEPT)).all()
    if old:
        session.execute(delete(DraftVersion).where(col(DraftVersion.id).in_(old)))


def _detail(session: Session, owner: str, kind: str, draft_id: str, version_id: str) -> DraftDetail:
    draft = _find(session, owner, draft_id, kind)
    listed = session.execute(
        select(
            DraftVersion.id,
            DraftVersion.created_at,
            DraftVersion.task,
            func.length(DraftVersion.text),
        )
        .where(DraftVersion.draft_id == draft_id)
        .order_by(col(DraftVersion.id).desc())
    ).all()
    versions = tuple(VersionRow(*row) for row in listed)
    wanted = session.get(DraftVersion, version_id or versions[0].id)
    if wanted is None or wanted.draft_id != draft_id:
        raise NotFound("This version is no longer kept.")
    return DraftDetail(draft, versions, wanted)


def _title(text: str) -> str:
    """The first line that says something, cut to `MAX_TITLE_LENGTH` characters."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return " ".join(first.strip("#*/ \t").split())[:MAX_TITLE_LENGTH]
