"""Keys from the command line: the same store as the page's, opened for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from appliance.errors import SetupError
from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer
from appliance.settings import Settings


async def create(
    settings: Settings, name: str, expires_at: datetime | None, rate: str | None, is_admin: bool
) -> str:
    async with _store(settings) as store:
        key, secret = await store.create(name, expires_at=expires_at, rate=rate, is_admin=is_admin)
    until = f" until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else ""
    return f"Key for {key.name}{until}, shown only this once:\n\n    {secret}\n"


async def table(settings: Settings) -> str:
    async with _store(settings) as store:
        found = await store.list()
    if not found:
        return "There are no keys yet. Make one with: launcher.py keys create NAME"
    rows = [("NAME", "PREFIX", "STATE", "RATE", "EXPIRES", "LAST USED"), *map(_row, found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


async def revoke(settings: Settings, name: str) -> str:
    async with _store(settings) as store:
        await store.revoke(name)
    return f"The key for {name} no longer opens anything."


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[KeyStore]:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            "The data folder %(folder)s cannot be made: %(error)s.",
            folder=settings.data_dir,
            error=error.strerror,
        ) from None
    database = Database(settings.effective_database_url)
    database.migrate()
    writer = Writer(database)
    try:
        yield KeyStore(database, writer)
    finally:
        writer.close()
        database.close()


def _row(key: ApiKey) -> tuple[str, ...]:
    role = " (admin)" if key.is_admin else ""
    return (
        key.name + role,
        key.prefix,
        key.state,
        key.rate or "–",
        _day(key.expires_at),
        _day(key.last_used_at),
    )


def _day(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
