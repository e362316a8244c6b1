"""Named keys: tables of the ledger, beside `tables`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime

KeyState = Literal["active", "expired", "revoked"]


class ApiKey(SQLModel, table=True):
    """A named key. The secret itself is nowhere: `hash` is its SHA-256.

    `models` and `assistants` None: all; any limit None: none of its own; `log_content` None: as
    the appliance does. After a rotation the secret of `old_hash` works until `grace_until`.
    """

    __tablename__ = "api_key"

    id: str = Field(primary_key=True, sa_type=PlainText)
    name: str = Field(unique=True, sa_type=PlainText)
    prefix: str = Field(sa_type=PlainText)
    hash: str = Field(unique=True, sa_type=PlainText)
    rate: str | None = Field(default=None, sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    scopes: list[str] = Field(default_factory=lambda: ["chat"], sa_type=JSON)
    models: list[str] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    assistants: list[str] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    parallel: int | None = None
    max_tokens: int | None = None
    log_content: str | None = Field(default=None, sa_type=PlainText)
    old_hash: str | None = Field(default=None, index=True, sa_type=PlainText)
    grace_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    session_epoch: int = 0

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    @property
    def in_grace(self) -> bool:
        """Whether the secret before the last rotation still works."""
        return self.grace_until is not None and self.grace_until > datetime.now(UTC)

    @property
    def state(self) -> KeyState:
        """What the key is worth now. Revoking outweighs expiry."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            return "expired"
        return "active"
