"""What the appliances have in common that share one ledger on a server: tables beside `tables`."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime


class Front(SQLModel, table=True):
    """An appliance that serves from this ledger, and when it last said so."""

    __tablename__ = "front"

    name: str = Field(primary_key=True, sa_type=PlainText)
    seen_at: datetime = Field(sa_type=UtcDateTime)


class SessionSecret(SQLModel, table=True):
    """Signs the cookies of browsers, whichever appliance they come to. In SQLite there is none:
    a lone appliance keeps its secrets in a file that only its owner can read."""

    __tablename__ = "session_secret"

    text: str = Field(primary_key=True, sa_type=PlainText)
    made_at: datetime = Field(sa_type=UtcDateTime)


class StopWish(SQLModel, table=True):
    """An answer of a page that is to be stopped by whichever appliance writes it."""

    __tablename__ = "stop_wish"

    run_id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(primary_key=True, sa_type=PlainText)
    wished_at: datetime = Field(sa_type=UtcDateTime)
