"""Invitations to a key: a table of the ledger, beside `tables`."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime


class Invitation(SQLModel, table=True):
    """A one-time code that gives its bearer the key. The code is nowhere: only its SHA-256."""

    __tablename__ = "invitation"

    id: str = Field(primary_key=True, sa_type=PlainText)
    key_id: str = Field(foreign_key="api_key.id", ondelete="CASCADE", index=True, sa_type=PlainText)
    code_hash: str = Field(unique=True, sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def is_open(self) -> bool:
        """Whether the code still gives the key to whoever brings it."""
        return self.used_at is None and self.expires_at > datetime.now(UTC)
