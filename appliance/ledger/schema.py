"""All tables in one place, for migrations and for whoever compares."""

from __future__ import annotations

from sqlmodel import SQLModel

from appliance.ledger import (
    tables,
    tables_assistants,
    tables_chat,
    tables_drafts,
    tables_feedback,
    tables_fronts,
    tables_joining,
    tables_keys,
)

__all__ = [
    "metadata",
    "tables",
    "tables_assistants",
    "tables_chat",
    "tables_drafts",
    "tables_feedback",
    "tables_fronts",
    "tables_joining",
    "tables_keys",
]

metadata = SQLModel.metadata
