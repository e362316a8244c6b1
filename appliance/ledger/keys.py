"""Named keys. A secret is shown once, when it is made; the ledger keeps its SHA-256."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Unpack

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, or_, select, update

from appliance.errors import InvalidRequest, NotFound
from appliance.ledger.credential import Credential, Ending, opens
from appliance.ledger.database import Database, changed_rows
from appliance.ledger.ids import new_id
from appliance.ledger.key_rules import KeyFields, checked_fields, checked_name, taken
from appliance.ledger.key_usage import KeyUsage
from appliance.ledger.look_alike import are_alike
from appliance.ledger.secret import SECRET_PREFIX, SHOWN_CHARACTERS, hash_of, new_secret
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer

TOUCH_INTERVAL_SECONDS = 60.0


class KeyStore:
    """Makes, finds, changes and revokes keys; `usage` tells what they were used for."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._touched: dict[str, float] = {}
        self.usage = KeyUsage(database, writer)

    async def create(self, name: str, **fields: Unpack[KeyFields]) -> tuple[ApiKey, str]:
        """Makes a key; returns it with its secret, which cannot be had again.

        Raises InvalidRequest (`param` names which) for a name that is malformed, reserved or
        taken (letter case does not tell names apart), or a field that breaks its rule.
        """
        name, columns = checked_name(name), checked_fields(fields)
        secret = new_secret()

        def insert(session: Session) -> ApiKey:
            _check_free(session, name)
            key = ApiKey(
                id=new_id(),
                name=name,
                prefix=secret[:SHOWN_CHARACTERS],
                hash=hash_of(secret),
                created_at=datetime.now(UTC),
                **columns,
            )
            session.add(key)
            return key

        try:
            return await self._writer.execute(insert), secret
        except IntegrityError as error:  # two servers on one database, at the same moment
            raise taken(name) from error

    async def change(self, name: str, **fields: Unpack[KeyFields]) -> ApiKey:
        """From now on what was said holds; the rest stays. An expired key may live again.

        Raises NotFound, and InvalidRequest as `create`, or for a revoked key.
        """
        columns = checked_fields(fields)

        def write(session: Session) -> ApiKey:
            key = _unrevoked(session, name)
            for column, value in columns.items():
                setattr(key, column, value)
            return key

        return await self._writer.execute(write)

    async def rotate(self, name: str, grace: timedelta = timedelta(0)) -> tuple[ApiKey, str]:
        """Gives the key a new secret; the one before works for `grace` longer, none before it.

        Without grace browsers that are signed in with the key have to sign in again. Raises
        NotFound, and InvalidRequest for a revoked key.
        """
        secret = new_secret()

        def write(session: Session) -> ApiKey:
            key = _unrevoked(session, name)
            key.old_hash = key.hash if grace else None
            key.grace_until = datetime.now(UTC) + grace if grace else None
            key.session_epoch += 0 if grace else 1
            key.hash, key.prefix = hash_of(secret), secret[:SHOWN_CHARACTERS]
            return key

        return await self._writer.execute(write), secret

    async def list(self) -> list[ApiKey]:
        """All keys, revoked and expired ones too, oldest first."""
        await self._writer.drained()
        query = select(ApiKey).order_by(col(ApiKey.id))
        return await self._database.read(lambda session: [*session.exec(query)])

    async def revoke(self, name: str) -> ApiKey:
        """From now on the key opens nothing. Revoking twice is no error.

        Raises NotFound.
        """

        def mark(session: Session) -> ApiKey:
            key = _named(session, name)
            key.revoked_at = key.revoked_at or datetime.now(UTC)
            return key

        return await self._writer.execute(mark)

    async def named(self, name: str) -> ApiKey:
        """The key of this name, in whatever `state`. Raises NotFound."""
        await self._writer.drained()
        return await self._database.read(lambda session: _named(session, name))

    async def ended_among(self, shown: Collection[Credential]) -> dict[Credential, Ending]:
        """Which of these open nothing any more, and why."""
        query = select(ApiKey).where(col(ApiKey.id).in_({one.key_id for one in shown}))
        keys = {key.id: key for key in await self._database.read(lambda s: [*s.exec(query)])}
        whys = {one: one.ending(keys[one.key_id]) for one in shown if one.key_id in keys}
        return {one: why for one, why in whys.items() if why is not None}

    async def find(self, secret: str) -> ApiKey | None:
        """The key that `secret` belongs to, in whatever `state`; None when it is nobody's.

        A secret from before a rotation is the key's own while the grace lasts.
        """
        if not secret.startswith(SECRET_PREFIX):
            return None
        hashed = hash_of(secret)
        query = select(ApiKey).where(or_(ApiKey.hash == hashed, ApiKey.old_hash == hashed))
        key = await self._database.read(lambda session: session.exec(query).first())
        return key if key is not None and opens(key, hashed) else None

    async def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, in whatever `state`: what a signed-in browser rides on."""
        return await self._database.read(lambda session: session.get(ApiKey, key_id))

    def touch(self, key_id: str) -> None:
        """Notes that the key was used; at most one write a minute and key. Never waits."""
        now = time.monotonic()
        if now - self._touched.get(key_id, float("-inf")) < TOUCH_INTERVAL_SECONDS:
            return
        self._touched[key_id] = now
        used = update(ApiKey).where(col(ApiKey.id) == key_id).values(last_used_at=datetime.now(UTC))
        self._writer.submit(lambda session: changed_rows(session, used))

    async def count(self) -> int:
        """How many keys open something now."""
        query = (
            select(func.count())
            .select_from(ApiKey)
            .where(
                col(ApiKey.revoked_at).is_(None),
                or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > datetime.now(UTC)),
            )
        )
        return await self._database.read(lambda session: session.exec(query).one())


def _named(session: Session, name: str) -> ApiKey:
    wanted = unicodedata.normalize("NFC", name.strip())
    key = session.exec(select(ApiKey).where(ApiKey.name == wanted)).one_or_none()
    if key is None:
        raise NotFound("There is no key called “%(name)s”.", name=wanted)
    return key


def _unrevoked(session: Session, name: str) -> ApiKey:
    key = _named(session, name)
    if key.revoked_at is not None:
        raise InvalidRequest(
            "The key “%(name)s” was revoked, which is for good. Make a new one.",
            param="name",
            name=key.name,
        )
    return key


def _check_free(session: Session, name: str) -> None:
    # Compared here because a database folds only the letters it knows.
    if any(are_alike(other, name) for other in session.exec(select(ApiKey.name))):
        raise taken(name)
