"""Named keys. A secret is shown once, when it is made; the ledger keeps its SHA-256."""

from __future__ import annotations

import hmac
import time
import unicodedata
from datetime import UTC, datetime

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, or_, select, update

from appliance.errors import NotFound
from appliance.ledger.database import Database, changed_rows
from appliance.ledger.ids import new_id
from appliance.ledger.key_rules import check_expiry, checked_name, checked_rate, taken
from appliance.ledger.secret import SECRET_PREFIX, SHOWN_CHARACTERS, hash_of, new_secret
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer

TOUCH_INTERVAL_SECONDS = 60.0


class KeyStore:
    """Makes, finds and revokes keys."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._touched: dict[str, float] = {}

    async def create(
        self,
        name: str,
        *,
        expires_at: datetime | None = None,
        rate: str | None = None,
        is_admin: bool = False,
    ) -> tuple[ApiKey, str]:
        """Makes a key; returns it with its secret, which cannot be had again.

        Raises InvalidRequest (`param` names which) for a name that is malformed, reserved or
        taken (letter case does not tell names apart), a moment gone by, or a bad rate.
        """
        name, rate = checked_name(name), checked_rate(rate)
        if expires_at is not None:
            check_expiry(expires_at)
        secret = new_secret()

        def insert(session: Session) -> ApiKey:
            _check_free(session, name)
            key = ApiKey(
                id=new_id(),
                name=name,
                prefix=secret[:SHOWN_CHARACTERS],
                hash=hash_of(secret),
                is_admin=is_admin,
                rate=rate,
                created_at=datetime.now(UTC),
                expires_at=expires_at,
            )
            session.add(key)
            return key

        try:
            return await self._writer.execute(insert), secret
        except IntegrityError as error:  # two servers on one database, at the same moment
            raise taken(name) from error

    async def list(self) -> list[ApiKey]:
        """All keys, revoked and expired ones too, oldest first."""
        await self._writer.drained()
        query = select(ApiKey).order_by(col(ApiKey.id))
        return await self._database.read(lambda session: [*session.exec(query)])

    async def revoke(self, name: str) -> ApiKey:
        """From now on the key opens nothing. Revoking twice is no error.

        Raises NotFound.
        """
        wanted = unicodedata.normalize("NFC", name.strip())

        def mark(session: Session) -> ApiKey:
            key = session.exec(select(ApiKey).where(ApiKey.name == wanted)).one_or_none()
            if key is None:
                raise NotFound("There is no key called “%(name)s”.", name=wanted)
            key.revoked_at = key.revoked_at or datetime.now(UTC)
            return key

        return await self._writer.execute(mark)

    async def find(self, secret: str) -> ApiKey | None:
        """The key that `secret` belongs to, in whatever `state`; None when it is nobody's."""
        if not secret.startswith(SECRET_PREFIX):
            return None
        hashed = hash_of(secret)
        query = select(ApiKey).where(ApiKey.hash == hashed)
        key = await self._database.read(lambda session: session.exec(query).one_or_none())
        return key if key is not None and hmac.compare_digest(key.hash, hashed) else None

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


def _check_free(session: Session, name: str) -> None:
    # Compared here because a database folds only the letters it knows.
    if any(other.casefold() == name.casefold() for other in session.exec(select(ApiKey.name))):
        raise taken(name)
