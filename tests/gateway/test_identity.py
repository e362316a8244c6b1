from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import NotAuthenticated, PermissionDenied
from appliance.gateway.identity import Connection, Identity, SessionClaim
from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.writer import Writer

pytestmark = pytest.mark.anyio

HERE = {"host": "127.0.0.1:8000"}


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[KeyStore]:
    database = Database(f"sqlite:///{(tmp_path / 'appliance.db').as_posix()}")
    database.migrate()
    writer = Writer(database)
    yield KeyStore(database, writer)
    writer.close()
    database.close()


def connection(ip: str = "127.0.0.1", method: str = "POST", **headers: str) -> Connection:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Connection(ip, method, HERE | named)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "127.5.5.5"])
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_the_owner_at_this_machine_needs_no_key(keys: KeyStore, ip: str, host: str) -> None:
    caller = await Identity(keys, require_key=False).identify(connection(ip, host=host))
    assert (caller.name, caller.is_admin, caller.via) == ("owner", True, "owner")


@pytest.mark.parametrize(
    ("ip", "headers"),
    [
        ("192.168.1.7", {}),
        ("", {}),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {"x_real_ip": "127.0.0.1"}),
        ("127.0.0.1", {"via": "1.1 proxy"}),
        ("127.0.0.1", {"host": "evil.example:8000"}),
        ("127.0.0.1", {"host": "127.0.0.1.evil.example"}),
        ("127.0.0.1", {"host": ""}),
        ("127.0.0.1", {"host": "user@evil.example"}),
    ],
)
async def test_anything_that_is_not_surely_this_machine_needs_one(
    keys: KeyStore, ip: str, headers: dict[str, str]
) -> None:
    with pytest.raises(NotAuthenticated, match="API key is needed"):
        await Identity(keys, require_key=False).identify(connection(ip, **headers))


async def test_require_key_asks_the_owner_too(keys: KeyStore) -> None:
    with pytest.raises(NotAuthenticated):
        await Identity(keys, require_key=True).identify(connection())


@pytest.mark.parametrize(
    "header",
    [
        lambda s: {"authorization": f"Bearer {s}"},
        lambda s: {"authorization": f"bearer  {s}"},
        lambda s: {"x_api_key": s},
        lambda s: {"api_key": s},
    ],
)
async def test_a_key_names_its_holder_in_any_of_the_three_headers(keys: KeyStore, header) -> None:  # type: ignore[no-untyped-def]
    _, secret = await keys.create("anna", rate="5/minute")
    caller = await Identity(keys, require_key=False).identify(
        connection("10.0.0.9", **header(secret))
    )
    assert (caller.name, caller.rate, caller.is_admin) == ("anna", "5/minute", False)


@pytest.mark.parametrize("placeholder", ["none", "EMPTY", "not-needed", "-", ""])
async def test_what_people_write_where_no_key_is_needed_is_none(
    keys: KeyStore, placeholder: str
) -> None:
    identity = Identity(keys, require_key=False)
    header = {"authorization": f"Bearer {placeholder}"}
    assert (await identity.identify(connection(**header))).name == "owner"
    with pytest.raises(NotAuthenticated, match="API key is needed"):
        await identity.identify(connection("10.0.0.9", **header))


async def test_a_wrong_key_is_refused_even_at_this_machine(keys: KeyStore) -> None:
    with pytest.raises(NotAuthenticated, match="not known"):
        await Identity(keys, require_key=False).identify(connection(x_api_key="sk-appl-wrong"))


async def test_revoked_and_expired_keys_say_which_they_are(keys: KeyStore) -> None:
    identity = Identity(keys, require_key=False)
    _, revoked = await keys.create("anna")
    await keys.revoke("anna")
    with pytest.raises(NotAuthenticated, match="revoked"):
        await identity.identify(connection(x_api_key=revoked))
    soon = datetime.now(UTC) + timedelta(milliseconds=50)
    key, expiring = await keys.create("ben", expires_at=soon)
    while key.state == "active":
        pass
    with pytest.raises(NotAuthenticated, match="expired"):
        await identity.identify(connection(x_api_key=expiring))


async def test_a_session_rides_on_its_key_and_ends_with_it(keys: KeyStore) -> None:
    identity = Identity(keys, require_key=False)
    key, _ = await keys.create("anna")
    browser = Connection("10.0.0.9", "GET", HERE, session=SessionClaim(key.id, epoch=0))
    assert (await identity.identify(browser)).via == "session"
    await keys.revoke("anna")
    with pytest.raises(NotAuthenticated, match="revoked"):
        await identity.identify(browser)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "a word of the future"},
        {"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:8000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_a_foreign_page_in_the_owners_browser_may_not_act(
    keys: KeyStore, headers: dict[str, str]
) -> None:
    with pytest.raises(PermissionDenied, match="another site"):
        await Identity(keys, require_key=False).identify(connection(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "same-origin", "origin": "http://127.0.0.1:8000"},
        {"sec_fetch_site": "none"},
        {"origin": "http://127.0.0.1:8000"},
    ],
)
async def test_our_own_page_may(keys: KeyStore, headers: dict[str, str]) -> None:
    own = connection(**headers)
    assert (await Identity(keys, require_key=False).identify(own)).name == "owner"


async def test_a_foreign_page_may_look_and_may_bring_a_key(keys: KeyStore) -> None:
    identity = Identity(keys, require_key=False)
    _, secret = await keys.create("anna")
    looking = connection(method="GET", sec_fetch_site="cross-site")
    bringing = connection(sec_fetch_site="cross-site", x_api_key=secret)
    assert (await identity.identify(looking)).name == "owner"
    assert (await identity.identify(bringing)).name == "anna"
