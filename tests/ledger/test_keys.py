"""Keys: made once, found by their secret alone, refused by reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.errors import InvalidRequest, NotFound
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


async def test_a_key_is_found_by_its_secret_only(ledger: Ledger) -> None:
    key, secret = await ledger.keys.create("Annas laptop", rate="60/minute")
    await ledger.keys.create("Ben")

    found = await ledger.keys.find(secret)

    assert found is not None
    assert (found.id, found.name, found.rate, found.is_admin) == (
        key.id,
        "Annas laptop",
        "60/minute",
        False,
    )
    assert found.state == "active"
    for wrong in (secret[:-1], secret + "x", "", "sk-appl-", key.hash, "sk-other-" + secret[8:]):
        assert await ledger.keys.find(wrong) is None


@pytest.mark.sqlite
async def test_a_secret_has_the_promised_form_and_is_not_stored(ledger: Ledger) -> None:
    key, secret = await ledger.keys.create("Anna", is_admin=True)

    assert secret.startswith("sk-appl-")
    assert len(secret) == len("sk-appl-") + 43
    assert key.prefix == secret[:11]
    assert key.is_admin
    files = list(ledger.file.parent.iterdir())
    assert {file.name for file in files} >= {"appliance.db", "appliance.db-wal"}
    for file in files:
        assert secret[8:].encode() not in file.read_bytes()
        assert secret[11:].encode() not in file.read_bytes()
    assert any(key.hash.encode() in file.read_bytes() for file in files)


@pytest.mark.parametrize("name", ["Zoë", "安娜 2", "आन्या", "build-bot_3.1", "x", "A" * 64])
async def test_names_of_every_script_are_welcome(ledger: Ledger, name: str) -> None:
    key, _ = await ledger.keys.create(f"  {name} ")
    assert key.name == name


@pytest.mark.parametrize(
    "name", ["", "   ", "A" * 65, "a  b", "a\nb", "<b>", "a/b", "x\u202ey", "🦊", "a\u200bb"]
)
async def test_a_malformed_name_is_refused_with_the_rule(ledger: Ledger, name: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 64 characters: letters of any") as refusal:
        await ledger.keys.create(name)
    assert refusal.value.param == "name"


@pytest.mark.parametrize("unseen", ["\u3164", "\ufe0f", "\u115f", "\u034f", "\U000e0100"])
async def test_what_cannot_be_seen_tells_no_names_apart(ledger: Ledger, unseen: str) -> None:
    await ledger.keys.create("anna")
    for name in (unseen, f"anna{unseen}"):
        with pytest.raises(InvalidRequest, match="letters of any script"):
            await ledger.keys.create(name)


@pytest.mark.parametrize("name", ["..", "-", "\u0430nna", "\u0391nna", "\u041ewner"])
async def test_a_name_that_looks_like_another_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(InvalidRequest, match="could be taken for another name"):
        await ledger.keys.create(name)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("copa", "\u0441\u043e\u0440\u0430"),
        ("Anna", "\u0391\u039d\u039d\u0391"),
        ("\u0420\u0410\u0422\u0422", "patt"),
    ],
)
async def test_another_scripts_letters_do_not_make_another_name(
    ledger: Ledger, first: str, second: str
) -> None:
    await ledger.keys.create(first)
    with pytest.raises(InvalidRequest, match="already"):
        await ledger.keys.create(second)


async def test_names_that_only_sound_alike_are_two(ledger: Ledger) -> None:
    for name in ("Ivan", "\u0418\u0432\u0430\u043d", "\u043d\u0435\u0442", "het"):
        await ledger.keys.create(name)


@pytest.mark.parametrize("name", ["owner", "Owner", "OWNER", "\uff4f\uff57\uff4e\uff45\uff52"])
async def test_the_owners_name_is_reserved(ledger: Ledger, name: str) -> None:
    with pytest.raises(InvalidRequest, match="reserved"):
        await ledger.keys.create(name)


@pytest.mark.parametrize("second", ["Zoë", "ZOË", "zoe\u0308", "\uff3aoë"])
async def test_a_name_is_given_once_even_after_revoking(ledger: Ledger, second: str) -> None:
    await ledger.keys.create("Zoë")
    await ledger.keys.revoke("Zoë")

    with pytest.raises(InvalidRequest, match="already"):
        await ledger.keys.create(second)
    assert [key.name for key in await ledger.keys.list()] == ["Zoë"]


@pytest.mark.parametrize("rate", ["60/minute", "10 per second", "5000/day"])
async def test_good_rates_are_kept(ledger: Ledger, rate: str) -> None:
    key, _ = await ledger.keys.create("Anna", rate=rate)
    assert key.rate == rate


@pytest.mark.parametrize(
    "rate", ["", "fast", "60", "60/fortnight", "0/minute", "-1/minute", "5/second;9/day"]
)
async def test_a_bad_rate_is_refused_with_an_example(ledger: Ledger, rate: str) -> None:
    with pytest.raises(InvalidRequest, match="60/minute") as refusal:
        await ledger.keys.create("Anna", rate=rate)
    assert refusal.value.param == "rate"
    assert await ledger.keys.list() == []


async def test_a_key_expires(ledger: Ledger) -> None:
    soon = datetime.now(UTC) + timedelta(days=30)
    _, secret = await ledger.keys.create("Anna", expires_at=soon)
    assert await ledger.keys.count() == 1

    ledger.sql("update api_key set expires_at = '2026-01-01 00:00:00.000000'")

    found = await ledger.keys.find(secret)
    assert found is not None
    assert found.state == "expired"
    assert await ledger.keys.count() == 0


async def test_a_key_cannot_be_born_expired(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="later time") as refusal:
        await ledger.keys.create("Anna", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert refusal.value.param == "expires_at"


async def test_a_revoked_key_says_so_from_then_on(ledger: Ledger) -> None:
    _, secret = await ledger.keys.create("Anna")

    first = await ledger.keys.revoke("Anna")
    again = await ledger.keys.revoke("Anna")

    found = await ledger.keys.find(secret)
    assert found is not None
    assert found.state == "revoked"
    assert first.revoked_at == again.revoked_at == found.revoked_at
    assert await ledger.keys.count() == 0


async def test_revoking_nobody_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="“Nobody”"):
        await ledger.keys.revoke("Nobody")


async def test_use_is_noted_at_most_once_a_minute(ledger: Ledger) -> None:
    key, _ = await ledger.keys.create("Anna")
    assert (await ledger.keys.list())[0].last_used_at is None

    ledger.keys.touch(key.id)
    (used,) = await ledger.keys.list()
    ledger.keys.touch(key.id)
    (again,) = await ledger.keys.list()

    assert used.last_used_at is not None
    assert used.last_used_at.tzinfo is UTC
    assert again.last_used_at == used.last_used_at
