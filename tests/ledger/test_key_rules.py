"""What a key may do and how much of it: kept, changed, refused by rule; and its rotation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.errors import InvalidRequest, NotFound
from appliance.ledger.credential import Credential
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


async def test_everything_that_a_key_is_limited_to_is_kept(ledger: Ledger) -> None:
    made, _ = await ledger.keys.create(
        "Anna",
        scopes=("history", "chat"),
        models=["Qwen/Qwen3-8B", " poet "],
        assistants=["tutor"],
        rate="5/minute",
        tokens_per_minute=1000,
        tokens_per_day=50_000,
        parallel=2,
        max_tokens=256,
        log_content="metadata",
    )
    (kept,) = await ledger.keys.list()
    assert kept == made
    assert (kept.scopes, kept.is_admin) == (["chat", "history"], False)
    assert (kept.models, kept.assistants) == (["Qwen/Qwen3-8B", "poet"], ["tutor"])
    assert (kept.tokens_per_minute, kept.tokens_per_day) == (1000, 50_000)
    assert (kept.parallel, kept.max_tokens, kept.log_content) == (2, 256, "metadata")


async def test_a_plain_key_may_chat_and_has_no_limits_of_its_own(ledger: Ledger) -> None:
    key, _ = await ledger.keys.create("Anna")
    assert key.scopes == ["chat"]
    limits = (key.rate, key.tokens_per_minute, key.tokens_per_day, key.parallel, key.max_tokens)
    assert {*limits, key.models, key.assistants, key.log_content} == {None}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("scopes", [], "one or more of chat, history, admin"),
        ("scopes", ["chat", "root"], "this was root"),
        ("models", [], "name 1 to 100"),
        ("assistants", ["tutor", " "], "name 1 to 100"),
        ("tokens_per_minute", 0, "tokens_per_minute was 0"),
        ("tokens_per_day", -5, "whole number from 1"),
        ("parallel", 0, "parallel was 0"),
        ("max_tokens", 10**13, "max_tokens was 10000000000000"),
        ("log_content", "some", "full or metadata"),
    ],
)
async def test_a_broken_rule_is_told_by_field_and_value(
    ledger: Ledger, field: str, value: Any, said: str
) -> None:
    await ledger.keys.create("Ben")
    changes: Any = {field: value}
    for attempt in (ledger.keys.create("Anna", **changes), ledger.keys.change("Ben", **changes)):
        with pytest.raises(InvalidRequest, match=said) as refusal:
            await attempt
        assert refusal.value.param == field
    assert len(await ledger.keys.list()) == 1


async def test_a_change_takes_hold_and_leaves_the_rest(ledger: Ledger) -> None:
    _, secret = await ledger.keys.create("Anna", rate="5/minute", parallel=2, is_admin=True)
    changed = await ledger.keys.change("Anna", rate=None, tokens_per_day=9, scopes=["chat"])
    found = await ledger.keys.find(secret)
    assert found == changed
    assert (found.rate, found.parallel, found.tokens_per_day) == (None, 2, 9)
    assert not found.is_admin


async def test_an_expired_key_may_be_given_longer(ledger: Ledger) -> None:
    soon = datetime.now(UTC) + timedelta(days=30)
    _, secret = await ledger.keys.create("Anna", expires_at=soon)
    ledger.sql("update api_key set expires_at = '2026-01-01 00:00:00.000000'")
    await ledger.keys.change("Anna", expires_at=soon)
    found = await ledger.keys.find(secret)
    assert found is not None
    assert found.state == "active"


async def test_after_a_rotation_the_old_secret_works_for_its_grace_only(ledger: Ledger) -> None:
    key, first = await ledger.keys.create("Anna")
    rotated, second = await ledger.keys.rotate("Anna", timedelta(days=1))
    assert rotated.id == key.id
    assert rotated.prefix == second[:11] != first[:11]
    assert [(await ledger.keys.find(s)) for s in (first, second)] == [rotated, rotated]
    assert rotated.session_epoch == key.session_epoch

    ledger.sql("update api_key set grace_until = '2026-01-01 00:00:00.000000'")
    assert await ledger.keys.find(first) is None
    assert await ledger.keys.find(second) is not None


async def test_a_second_rotation_ends_the_first_secret(ledger: Ledger) -> None:
    _, first = await ledger.keys.create("Anna")
    _, second = await ledger.keys.rotate("Anna", timedelta(days=1))
    _, third = await ledger.keys.rotate("Anna", timedelta(days=1))
    found = [await ledger.keys.find(secret) is not None for secret in (first, second, third)]
    assert found == [False, True, True]


async def test_without_grace_the_old_secret_and_its_browsers_end_at_once(ledger: Ledger) -> None:
    key, first = await ledger.keys.create("Anna")
    rotated, second = await ledger.keys.rotate("Anna")
    assert await ledger.keys.find(first) is None
    assert await ledger.keys.find(second) is not None
    assert rotated.session_epoch == key.session_epoch + 1


async def test_what_was_shown_before_a_rotation_ends_with_its_grace(ledger: Ledger) -> None:
    key, _ = await ledger.keys.create("Anna")
    secret, browser = Credential(key.id, secret_hash=key.hash), Credential(key.id, epoch=0)
    await ledger.keys.rotate("Anna", timedelta(days=1))
    assert await ledger.keys.ended_among([secret, browser, Credential("nobody's")]) == {}
    await ledger.keys.rotate("Anna")
    found = await ledger.keys.ended_among([secret, browser])
    assert found == {secret: "replaced", browser: "signed_out"}
    ben, _ = await ledger.keys.create("Ben")
    before = Credential(ben.id, secret_hash=ben.hash)
    await ledger.keys.rotate("Ben", timedelta(milliseconds=1))
    while not (found := await ledger.keys.ended_among([before])):
        pass
    assert found == {before: "replaced"}


async def test_what_is_revoked_stays_so_and_what_is_not_there_is_told(ledger: Ledger) -> None:
    anna, _ = await ledger.keys.create("Anna")
    ben, _ = await ledger.keys.create("Ben")
    await ledger.keys.revoke("Anna")
    both = [Credential(key.id, secret_hash=key.hash) for key in (anna, ben)]
    assert await ledger.keys.ended_among(both) == {both[0]: "revoked"}
    for attempt in (ledger.keys.rotate("Anna"), ledger.keys.change("Anna", rate=None)):
        with pytest.raises(InvalidRequest, match="for good"):
            await attempt
    for missing in (ledger.keys.rotate("Eve"), ledger.keys.change("Eve"), ledger.keys.named("Eve")):
        with pytest.raises(NotFound, match="Eve"):
            await missing
