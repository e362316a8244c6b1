"""One key by the command line, by the page and by the admin API: the same rules, told alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from appliance.cli import app
from appliance.ledger.key_rules import KeyFields
from tests.scripted_app import ScriptedAppliance

RULES: dict[str, Any] = {
    "scopes": ["chat", "history"],
    "models": ["scripted", "poet"],
    "assistants": ["tutor", "support"],
    "rate": "7/minute",
    "tokens_per_minute": 1234,
    "tokens_per_day": 56789,
    "parallel": 3,
    "max_tokens": 321,
    "log_content": "metadata",
}
FLAGS = {
    "scopes": "--scope",
    "models": "--for-model",
    "assistants": "--assistant",
    "log_content": "--record",
}


def command(house: ScriptedAppliance, *words: str) -> str:
    done = CliRunner().invoke(app, ["keys", *words, "--data-dir", str(house.settings.data_dir)])
    assert done.exit_code == 0, done.output
    return done.output


def by_command(house: ScriptedAppliance, name: str) -> None:
    words = ["create", name, "--expires", "30d"]
    for rule, value in RULES.items():
        flag = FLAGS.get(rule, "--" + rule.replace("_", "-"))
        for one in value if isinstance(value, list) else [value]:
            words += [flag, str(one)]
    command(house, *words)


def by_page(client: httpx2.Client, name: str) -> None:
    form = {rule: str(value) for rule, value in RULES.items() if not isinstance(value, list)}
    form |= {rule: ", ".join(RULES[rule]) for rule in ("models", "assistants")}
    form |= dict.fromkeys(RULES["scopes"], "1") | {"scopes_shown": "1", "expires": "30"}
    assert client.post("/keys", data={"name": name} | form).status_code == 200


def by_api(client: httpx2.Client, name: str) -> None:
    made = client.post("/admin/keys", json={"name": name, "expires_in_days": 30} | RULES)
    assert made.status_code == 201


@pytest.fixture(scope="module")
def made(house: ScriptedAppliance) -> list[str]:
    names = ["made by command", "made by page", "made by api"]
    by_command(house, names[0])
    with httpx2.Client(base_url=house.url, timeout=20) as client:
        by_page(client, names[1])
        by_api(client, names[2])
    return names


def test_the_rules_here_are_all_that_there_are() -> None:
    assert {*RULES, "expires_at", "is_admin"} == set(KeyFields.__annotations__)


def test_all_three_make_the_same_key(client: httpx2.Client, made: list[str]) -> None:
    keys = [client.get(f"/admin/keys/{name}").json() for name in made]
    for key in keys:
        assert {rule: key[rule] for rule in RULES} == RULES
        assert key["expires_at"][:10] == keys[0]["expires_at"][:10]
    assert {key.keys() == keys[0].keys() for key in keys} == {True}


def test_all_three_tell_the_same(
    house: ScriptedAppliance, client: httpx2.Client, made: list[str]
) -> None:
    """Every rule, when it ends, its prefix, and what it was used for."""
    secret = client.post(f"/admin/keys/{made[0]}/rotate", json={}).json()["secret"]
    refused = client.post("/generate", json={"prompt": "x"}, headers={"x-api-key": secret})
    assert refused.status_code == 403  # its assistants are no program's
    key = client.get(f"/admin/keys/{made[0]}").json()
    page = client.get("/keys/of", params={"name": made[0]}).text
    told = command(house, "show", made[0])
    for rule, value in RULES.items():
        words = value if isinstance(value, list) else [str(value)]
        for word in words:
            assert word in told, rule
        if rule != "scopes":
            assert f'value="{", ".join(words)}"' in page, rule
    assert all(f'name="{one}" value="1" checked' in page for one in RULES["scopes"])
    assert 'value="metadata" selected' in page
    for moment in ("expires_at", "last_used_at"):
        when = datetime.fromisoformat(key[moment])
        assert f"{when:%Y-%m-%d %H:%M} UTC" in told
        assert f"<dd>{when.astimezone():%b} {when.astimezone().day}, {when.year}" in page
    assert key["prefix"] in told
    assert key["prefix"] in page
    (*_, today) = client.get(f"/admin/keys/{made[0]}/usage").json()
    assert (today["requests"], today["failed"], today["tokens"]) == (1, 1, 0)
    assert "1 requests (1 failed), 0 tokens" in told
    assert "1 in all, 1 of them refused or failed." in page


def test_all_three_end_a_key(house: ScriptedAppliance, client: httpx2.Client) -> None:
    ways: dict[str, Callable[[str], object]] = {
        "ended by command": lambda name: command(house, "revoke", name),
        "ended by page": lambda name: client.post("/keys/revoke", data={"name": name}),
        "ended by api": lambda name: client.delete(f"/admin/keys/{name}"),
    }
    for name, end in ways.items():
        headers = {"x-api-key": house.key(name)}
        assert client.get("/v1/models", headers=headers).status_code == 200
        end(name)
        assert client.get("/v1/models", headers=headers).status_code == 401
        assert client.get(f"/admin/keys/{name}").json()["state"] == "revoked"
        assert "revoked" in command(house, "show", name)
