"""Named keys: tables of the ledger, beside `tables`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime

KeyState = Literal["active", "expired", "revoked"]


class ApiKey(SQLModel, table=True):
    """A named key. The secret itself is nowhere: `hash` is its SHA-256."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True, sa_type=PlainText)
    name: str = Field(unique=True, sa_type=PlainText)
    prefix: str = Field(sa_type=PlainText)
    hash: str = Field(unique=True, sa_type=PlainText)
    is_admin: bool = False
    rate: str | None = Field(default=None, sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    session_epoch: int = 0

    @property
    def state(self) -> KeyState:
        """What the key is worth now. Revoking outweighs expiry."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            return "expired"
        return "active"
