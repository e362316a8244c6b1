"""`/admin/keys`: the same rules as the page and the command line."""

from __future__ import annotations

import httpx2


def test_a_key_is_made_changed_renewed_and_revoked(client: httpx2.Client) -> None:
    rules = {"rate": "5/minute", "tokens_per_day": 9000, "scopes": ["chat", "history"]}
    made = client.post("/admin/keys", json={"name": "Zoë", "expires_in_days": 30} | rules)
    assert made.status_code == 201
    key = made.json()
    assert {name: key[name] for name in rules} == rules
    assert (key["state"], key["is_admin"], key["max_tokens"]) == ("active", False, None)
    assert not {"hash", "old_hash"} & key.keys()

    changed = client.patch("/admin/keys/Zoë", json={"rate": None, "max_tokens": 50}).json()
    assert (changed["rate"], changed["max_tokens"]) == (None, 50)
    assert changed["tokens_per_day"] == 9000
    assert client.get("/admin/keys/Zoë").json() == changed

    renewed = client.post("/admin/keys/Zoë/rotate", json={"grace_hours": 1}).json()
    assert renewed["grace_until"]
    for secret in (key["secret"], renewed["secret"]):
        headers = {"x-api-key": secret}
        assert client.post("/generate", json={"prompt": "text"}, headers=headers).is_success
    (*_, today) = client.get("/admin/keys/Zoë/usage", params={"days": 7}).json()
    assert (today["requests"], today["failed"]) == (2, 0)
    assert today["tokens"] > 0

    assert client.delete("/admin/keys/Zoë").json()["state"] == "revoked"
    headers = {"x-api-key": renewed["secret"]}
    assert client.get("/v1/models", headers=headers).status_code == 401


def test_a_broken_rule_and_an_unknown_field_are_named(client: httpx2.Client) -> None:
    refused = client.post("/admin/keys", json={"name": "x", "parallel": 0})
    assert (refused.status_code, refused.json()["param"]) == (400, "parallel")
    unknown = client.post("/admin/keys", json={"name": "x", "paralel": 1})
    assert unknown.status_code == 422
    assert "paralel" in unknown.text
    assert client.patch("/admin/keys/nobody", json={"rate": None}).status_code == 404


def test_an_admin_key_is_made_by_scope_or_in_short(client: httpx2.Client) -> None:
    short = client.post("/admin/keys", json={"name": "chief 1", "admin": True}).json()
    long = client.post("/admin/keys", json={"name": "chief 2", "scopes": ["admin"]}).json()
    assert (short["scopes"], long["scopes"]) == (["chat", "admin"], ["admin"])
    for key in (short, long):
        headers = {"x-api-key": key["secret"]}
        assert client.post("/generate", json={"prompt": "text"}, headers=headers).is_success
        assert client.get("/admin/queue", headers=headers).is_success
