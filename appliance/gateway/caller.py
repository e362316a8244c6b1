"""Who a request is for, and everything that the gateway holds them to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.ledger.credential import Credential
from appliance.ledger.key_rules import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a request is for. What is None has no limit of its own.

    `scopes` say what they may; an admin may all. `models` and `assistants` are the only ones they
    may use. `rate` is such as `60/minute`, `parallel` counts requests waiting or running.
    `credential` is what they came in by; the owner needs none.
    `log_content` "metadata": neither what is asked nor what is answered is recorded.
    """

    name: str
    is_admin: bool
    client_ip: str
    via: Literal["owner", "key", "session"]
    key_id: str | None = None
    credential: Credential | None = None
    scopes: frozenset[str] = frozenset({"chat"})
    models: tuple[str, ...] | None = None
    assistants: tuple[str, ...] | None = None
    rate: str | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    parallel: int | None = None
    max_tokens: int | None = None
    log_content: Literal["full", "metadata"] = "full"

    def may(self, scope: Scope) -> bool:
        return self.is_admin or scope in self.scopes

    @property
    def sees_all(self) -> bool:
        """Whether everybody's history is open to them, or only their own."""
        return self.may("history")

    @property
    def counted_as(self) -> str:
        """Whose allowance they use up: the key's, else that of their address."""
        return self.key_id or f"ip:{self.client_ip}"
