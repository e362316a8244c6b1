"""`/admin/keys`: named keys for team-mates and programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from appliance.errors import InvalidRequest
from appliance.ledger.key_rules import KeyFields
from appliance.ledger.keys import KeyStore
from appliance.ledger.tables_keys import ApiKey

KeyObject = dict[str, Any]


class KeyChange(BaseModel):
    """What is left out stays as it is; null takes a limit away."""

    model_config = ConfigDict(extra="forbid")

    expires_in_days: float | None = Field(None, gt=0, le=36500)
    scopes: list[Literal["chat", "history", "admin"]] | None = Field(
        None, description="What it may do; chat unless said otherwise."
    )
    models: list[str] | None = Field(None, description="The only ones it may use; null: all.")
    assistants: list[str] | None = Field(None, description="The only ones it may use; null: all.")
    rate: str | None = Field(None, description="Such as 60/minute.")
    tokens_per_minute: int | None = Field(None, description="Read and written together.")
    tokens_per_day: int | None = Field(None, description="Read and written together.")
    parallel: int | None = Field(None, description="Requests waiting or running at once.")
    max_tokens: int | None = Field(None, description="Longest answer.")
    log_content: Literal["full", "metadata"] | None = Field(
        None, description="What is recorded of its requests; null: as the appliance does."
    )

    def rules(self) -> KeyFields:
        """Only what was said."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        if "expires_in_days" in said:
            days = said.pop("expires_in_days")
            until = None if days is None else datetime.now(UTC) + timedelta(days=days)
            said["expires_at"] = until
        if said.get("scopes", ()) is None:
            raise InvalidRequest("scopes: name at least one, or leave it out.", param="scopes")
        return _only_rules(said)


class NewKey(KeyChange):
    name: str
    admin: bool = Field(False, description="Short for the scopes chat and admin.")


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grace_hours: float = Field(0, ge=0, le=8760, description="How long the old secret still works.")


def router(keys: KeyStore) -> APIRouter:
    routes = APIRouter(prefix="/keys")

    @routes.get("")
    async def list_keys() -> list[KeyObject]:
        """All keys, revoked and expired ones too; never a secret."""
        return [_shown(key) for key in await keys.list()]

    @routes.post("", status_code=201)
    async def create_key(body: NewKey) -> KeyObject:
        """Make a key. `secret` is in this answer and nowhere else."""
        rules = body.rules()
        if body.admin:
            rules["scopes"] = [*rules.get("scopes", ("chat",)), "admin"]
        key, secret = await keys.create(body.name, **rules)
        return _shown(key) | {"secret": secret}

    @routes.post("/{name:path}/rotate")
    async def rotate_key(name: str, body: Rotation) -> KeyObject:
        """Give it a new `secret`, in this answer and nowhere else."""
        key, secret = await keys.rotate(name, timedelta(hours=body.grace_hours))
        return _shown(key) | {"secret": secret}

    @routes.get("/{name:path}/usage")
    async def usage(name: str, days: int = Query(30, ge=1, le=366)) -> list[dict[str, Any]]:
        """Requests for tokens, day by day (UTC), oldest first; days without use too."""
        key = await keys.named(name)
        return [asdict(day) for day in await keys.usage.days(key.name, days)]

    @routes.get("/{name:path}")
    async def show_key(name: str) -> KeyObject:
        return _shown(await keys.named(name))

    @routes.patch("/{name:path}")
    async def change_key(name: str, body: KeyChange) -> KeyObject:
        """What is said holds from now on; the rest stays."""
        return _shown(await keys.change(name, **body.rules()))

    @routes.delete("/{name:path}")
    async def revoke_key(name: str) -> KeyObject:
        """From now on the key opens nothing, and what it has under way ends within a second; its
        name stays with its history."""
        return _shown(await keys.revoke(name))

    return routes


def _only_rules(said: dict[str, Any]) -> KeyFields:
    rules: Any = {name: value for name, value in said.items() if name in KeyFields.__annotations__}
    found: KeyFields = rules
    return found


def _shown(key: ApiKey) -> KeyObject:
    hidden = {"hash", "old_hash", "session_epoch"}
    return key.model_dump(mode="json", exclude=hidden) | {
        "state": key.state,
        "is_admin": key.is_admin,
    }
