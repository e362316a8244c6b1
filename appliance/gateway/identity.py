"""Who is asking: the owner at this machine, a key, or a signed-in browser.

The owner needs no key, so the question "does this come from this machine?" is asked strictly:
the peer is loopback, nobody forwarded the request, the Host header is a name of this machine
(a rebound DNS name is not), and no foreign web page stands behind it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from appliance.errors import NotAuthenticated, PermissionDenied
from appliance.gateway.caller import Caller
from appliance.gateway.origin import is_sent_by_another_site, parts_of
from appliance.gateway.tries import WrongKeys
from appliance.ledger.credential import Credential, Ending
from appliance.ledger.keys import KeyStore
from appliance.ledger.secret import hash_of
from appliance.ledger.tables import OWNER
from appliance.ledger.tables_keys import ApiKey

__all__ = ["Caller", "Connection", "Identity", "SessionClaim"]

FORWARDING_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host", "via")
KEY_HEADERS = ("authorization", "x-api-key", "api-key")
# SDKs insist on a key, so people write one of these where none is needed. They count as no key.
PLACEHOLDER_KEYS = frozenset(
    {"-", "x", "xxx", "none", "null", "empty", "dummy", "unused", "local", "ollama", "lm-studio"}
    | {"no-key", "nokey", "no-key-required", "sk-no-key-required", "not-needed", "not-required"}
)


@dataclass(frozen=True, slots=True)
class SessionClaim:
    """What a signed-in browser shows: its key, and which of the key's sessions it belongs to."""

    key_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Connection:
    """What a request shows of its origin. `session` comes from a verified cookie only."""

    client_ip: str
    method: str
    headers: Mapping[str, str]
    session: SessionClaim | None = None


class Identity:
    """Names the caller of a connection, or refuses."""

    def __init__(
        self, keys: KeyStore, *, require_key: bool, tries: WrongKeys | None = None
    ) -> None:
        self._keys = keys
        self._require_key = require_key
        self._tries = tries or WrongKeys()

    async def identify(self, connection: Connection) -> Caller:
        """Raises NotAuthenticated without a good key, PermissionDenied for a foreign page,
        RateLimited for one wrong key too many from this address. A good key is always good."""
        refuse_foreign_page(connection)
        if secret := presented_key(connection.headers):
            key = await self._key_of(secret, connection.client_ip)
            self._keys.touch(key.id)
            return _caller(key, connection, Credential(key.id, secret_hash=hash_of(secret)))
        if (claim := connection.session) is not None:
            shown = Credential(claim.key_id, epoch=claim.epoch)
            key = _usable(await self._keys.get(claim.key_id))
            if (why := shown.ending(key)) is not None:
                raise ended(why)
            self._keys.touch(key.id)
            return _caller(key, connection, shown)
        if not self._require_key and is_from_this_machine(connection):
            return Caller(name=OWNER, is_admin=True, client_ip=connection.client_ip, via="owner")
        raise NotAuthenticated(
            "An API key is needed. Send it as 'Authorization: Bearer KEY', 'x-api-key' or "
            "'api-key'; the owner makes one with: launcher.py keys create NAME"
        )

    async def _key_of(self, secret: str, address: str) -> ApiKey:
        found = await self._keys.find(secret)
        if found is None or found.state != "active":
            await self._tries.check(address)
            await self._tries.failed(address)
        return _usable(found)


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key in whichever of the three headers carries one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token if scheme.lower() == "bearer" else ""
    for value in (bearer, headers.get("x-api-key", ""), headers.get("api-key", "")):
        key = value.strip()
        if key and key.lower() not in PLACEHOLDER_KEYS:
            return key
    return None


def is_from_this_machine(connection: Connection) -> bool:
    headers = connection.headers
    if any(name in headers for name in FORWARDING_HEADERS):
        return False
    return _is_loopback(connection.client_ip) and _is_local_name(headers.get("host", ""))


def refuse_foreign_page(connection: Connection) -> None:
    """A page of another site may not make this browser act here, whatever key it rides on."""
    headers = connection.headers
    if presented_key(headers) or not is_sent_by_another_site(connection.method, headers):
        return
    raise PermissionDenied(
        "A web page of another site (%(origin)s) may not use this appliance without a key.",
        origin=headers.get("origin") or headers.get("sec-fetch-site"),
    )


def ended(why: Ending) -> NotAuthenticated:
    """What is said to whoever came in by something that opens nothing any more."""
    match why:
        case "revoked":
            return NotAuthenticated("This API key was revoked. Ask the owner for a new one.")
        case "expired":
            return NotAuthenticated("This API key has expired. Ask the owner for a new one.")
        case "replaced":
            return NotAuthenticated("This API key was replaced. Ask the owner for the new one.")
        case "signed_out":
            return NotAuthenticated("This browser was signed out. Sign in again with your key.")


def _usable(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise NotAuthenticated("This API key is not known here. Check it, or ask for a new one.")
    if key.state != "active":
        raise ended(key.state)
    return key


def _caller(key: ApiKey, connection: Connection, shown: Credential) -> Caller:
    return Caller(
        name=key.name,
        is_admin=key.is_admin,
        client_ip=connection.client_ip,
        via="key" if shown.epoch is None else "session",
        key_id=key.id,
        credential=shown,
        scopes=frozenset(key.scopes),
        models=_only(key.models),
        assistants=_only(key.assistants),
        rate=key.rate,
        tokens_per_minute=key.tokens_per_minute,
        tokens_per_day=key.tokens_per_day,
        parallel=key.parallel,
        max_tokens=key.max_tokens,
        log_content="metadata" if key.log_content == "metadata" else "full",
    )


def _only(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _is_local_name(host_header: str) -> bool:
    host = parts_of(f"//{host_header}").hostname or ""
    return host == "localhost" or _is_loopback(host)
