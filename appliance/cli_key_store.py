"""Keys from the command line: the same store as the page's, opened for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from appliance.errors import SetupError
from appliance.ledger.database import Database
from appliance.ledger.key_rules import KeyFields
from appliance.ledger.keys import KeyStore
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer
from appliance.settings import Settings

USAGE_DAYS = 30


async def create(settings: Settings, name: str, rules: KeyFields) -> str:
    async with _store(settings) as store:
        key, secret = await store.create(name, **rules)
    until = f" until {_moment(key.expires_at)}" if key.expires_at else ""
    return f"Key for {key.name}{until}, shown only this once:\n\n    {secret}\n"


async def change(settings: Settings, name: str, rules: KeyFields) -> str:
    async with _store(settings) as store:
        key = await store.change(name, **rules)
    return _facts(key)


async def rotate(settings: Settings, name: str, grace: timedelta) -> str:
    async with _store(settings) as store:
        key, secret = await store.rotate(name, grace)
    old = f" works until {_moment(key.grace_until)}" if key.in_grace else " opens nothing any more"
    new = f"New secret of {key.name}, shown only this once:\n\n    {secret}\n\n"
    return f"{new}The one before it{old}."


async def show(settings: Settings, name: str) -> str:
    async with _store(settings) as store:
        key = await store.named(name)
        days = await store.usage.days(key.name, USAGE_DAYS)
    requests, failed = sum(day.requests for day in days), sum(day.failed for day in days)
    used = f"{requests} requests ({failed} failed), {sum(day.tokens for day in days)} tokens"
    return f"{_facts(key)}\nlast {USAGE_DAYS} days      {used}"


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
async def opened(settings: Settings) -> AsyncIterator[tuple[Database, Writer]]:
    """The ledger, for one command."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            "The data folder %(folder)s cannot be made: %(error)s.",
            folder=settings.data_dir,
            error=error.strerror,
        ) from None
    database = Database(settings.effective_database_url)
    try:
        database.migrate(copies=settings.data_dir, copying=not settings.no_update_copy)
        writer = Writer(database)
        try:
            yield database, writer
        finally:
            writer.close()
    finally:
        database.close()


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[KeyStore]:
    async with opened(settings) as (database, writer):
        yield KeyStore(database, writer)


def _row(key: ApiKey) -> tuple[str, ...]:
    special = [scope for scope in key.scopes if scope != "chat"]
    role = f" ({', '.join(special)})" if special else ""
    return (
        key.name + role,
        key.prefix,
        key.state,
        key.rate or "–",
        _day(key.expires_at),
        _day(key.last_used_at),
    )


def _facts(key: ApiKey) -> str:
    """Everything that a key is, a line each; what it has no limit of is left out."""
    found = {
        "name": key.name,
        "state": key.state,
        "prefix": key.prefix,
        "scopes": ", ".join(key.scopes),
        "expires": key.expires_at and _moment(key.expires_at),
        "last used": key.last_used_at and _moment(key.last_used_at),
        "old secret until": key.grace_until and key.in_grace and _moment(key.grace_until),
        "rate": key.rate,
        "tokens per minute": key.tokens_per_minute,
        "tokens per day": key.tokens_per_day,
        "parallel": key.parallel,
        "max tokens": key.max_tokens,
        "models": key.models and ", ".join(key.models),
        "assistants": key.assistants and ", ".join(key.assistants),
        "record": key.log_content,
    }
    return "\n".join(f"{label:<18}{value}" for label, value in found.items() if value)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _day(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
