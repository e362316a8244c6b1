"""Invitations: one-time codes that give a key to whoever opens the link, and ends of sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlmodel import Session, col, delete, select, update

from appliance.errors import InvalidRequest, NotFound
from appliance.ledger.database import Database, changed_rows
from appliance.ledger.ids import new_id
from appliance.ledger.secret import SHOWN_CHARACTERS, hash_of, new_code, new_secret
from appliance.ledger.tables_joining import Invitation
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer


class Joining:
    """Makes and takes invitations. Keys themselves are made by `KeyStore`."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def invite(self, key_id: str, *, valid: timedelta) -> str:
        """A one-time code for this key, good for as long as `valid`. Earlier ones end.

        The code is nowhere else. Raises NotFound, and InvalidRequest for a key that opens nothing.
        """
        code, now = new_code(), datetime.now(UTC)

        def insert(session: Session) -> None:
            key = session.get(ApiKey, key_id)
            if key is None:
                raise NotFound("There is no such key.")
            if key.state != "active":
                raise InvalidRequest("This key is revoked or expired; make a new one.")
            changed_rows(session, delete(Invitation).where(col(Invitation.key_id) == key_id))
            session.add(
                Invitation(
                    id=new_id(),
                    key_id=key_id,
                    code_hash=hash_of(code),
                    created_at=now,
                    expires_at=now + valid,
                )
            )

        await self._writer.execute(insert)
        return code

    async def invited(self, code: str) -> ApiKey | None:
        """Whom an open invitation is for; None when the code gives nothing (any more)."""

        def find(session: Session) -> ApiKey | None:
            found = _open(session, code)
            return None if found is None else found[1]

        return await self._database.read(find)

    async def is_waiting(self, key_id: str) -> bool:
        """Whether the key was made by an invitation that nobody has opened yet."""
        query = select(Invitation).where(
            Invitation.key_id == key_id, col(Invitation.used_at).is_(None)
        )
        return await self._database.read(lambda s: s.exec(query).first() is not None)

    async def join(self, code: str) -> tuple[ApiKey, str] | None:
        """Takes the invitation: the key and its new secret, which cannot be had again.

        None when the code gives nothing. Of two who come at once, one gets it.
        """
        secret = new_secret()

        def take(session: Session) -> ApiKey | None:
            found = _open(session, code, locked=True)
            if found is None:
                return None
            invitation, key = found
            invitation.used_at = datetime.now(UTC)
            key.hash, key.prefix = hash_of(secret), secret[:SHOWN_CHARACTERS]
            session.add_all((invitation, key))
            return key

        key = await self._writer.execute(take)
        return None if key is None else (key, secret)

    async def end_sessions(self, name: str) -> None:
        """Every browser signed in with this key has to sign in again."""
        ended = (
            update(ApiKey)
            .where(col(ApiKey.name) == name)
            .values(session_epoch=ApiKey.session_epoch + 1)
        )
        await self._writer.execute(lambda session: changed_rows(session, ended))


def _open(session: Session, code: str, *, locked: bool = False) -> tuple[Invitation, ApiKey] | None:
    """The invitation behind the code with its key, while both still hold."""
    query = select(Invitation, ApiKey).join(ApiKey).where(Invitation.code_hash == hash_of(code))
    # SQLite has one writer anyway; PostgreSQL must be told that a second comer waits.
    found = session.exec(query.with_for_update() if locked else query).one_or_none()
    if found is None or not found[0].is_open or found[1].state != "active":
        return None
    return found[0], found[1]
