"""`/admin/keys`: named keys for team-mates and programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from appliance.ledger.keys import KeyStore
from appliance.ledger.tables_keys import ApiKey

KeyObject = dict[str, Any]


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    expires_in_days: float | None = Field(None, gt=0, le=36500)
    rate: str | None = Field(None, description="Such as 60/minute.")
    admin: bool = False


def router(keys: KeyStore) -> APIRouter:
    routes = APIRouter(prefix="/keys")

    @routes.get("")
    async def list_keys() -> list[KeyObject]:
        """All keys, revoked and expired ones too; never a secret."""
        return [_shown(key) for key in await keys.list()]

    @routes.post("", status_code=201)
    async def create_key(body: NewKey) -> KeyObject:
        """Make a key. `secret` is in this answer and nowhere else."""
        days = body.expires_in_days
        until = None if days is None else datetime.now(UTC) + timedelta(days=days)
        key, secret = await keys.create(
            body.name, expires_at=until, rate=body.rate, is_admin=body.admin
        )
        return _shown(key) | {"secret": secret}

    @routes.delete("/{name:path}")
    async def revoke_key(name: str) -> KeyObject:
        """From now on the key opens nothing; its name stays with its history."""
        return _shown(await keys.revoke(name))

    return routes


def _shown(key: ApiKey) -> KeyObject:
    return key.model_dump(mode="json", exclude={"hash"}) | {"state": key.state}
