"""What a key was made for, and nothing else: scopes, models, assistants, lengths."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from tests.api.working import bearer, say
from tests.scripted_app import ScriptedAppliance


@pytest.mark.parametrize(
    ("rules", "body", "status", "said"),
    [
        ({"scopes": ["history"]}, {}, 403, "may not ask for answers"),
        ({"models": ["another"]}, {}, 403, "may not use the model"),
        ({"models": ["SCRIPTED"]}, {}, 200, ""),
        ({"assistants": ["tutor"]}, {}, 403, "these assistants only: tutor"),
        ({"max_tokens": 5}, {"max_tokens": 6}, 400, "at most 5"),
        ({"max_tokens": 5}, {}, 200, ""),
        ({"parallel": 1}, {}, 200, ""),
    ],
)
def test_a_key_opens_what_it_was_made_for(
    house: ScriptedAppliance,
    client: httpx2.Client,
    rules: Any,
    body: dict[str, Any],
    status: int,
    said: str,
) -> None:
    secret = house.key(f"rule {time.monotonic_ns()}", **rules)
    for path, asked in (("/generate", {"prompt": "text"}), ("/v1/chat/completions", say("text"))):
        answer = client.post(path, json=asked | body, headers=bearer(secret))
        assert answer.status_code == status
        assert said in answer.text
    if status == 200 and "max_tokens" in rules:
        assert house.engine.bodies[-1]["max_tokens"] == 5


def test_a_key_for_the_history_reads_it_and_changes_nothing(
    house: ScriptedAppliance, client: httpx2.Client
) -> None:
    headers = bearer(house.key("auditor", scopes=["history"]))
    assert client.get("/admin/requests", headers=headers).status_code == 200
    for path in ("/admin/keys", "/admin/queue"):
        assert client.get(path, headers=headers).status_code == 403
    assert client.post("/admin/keys", json={"name": "x"}, headers=headers).status_code == 403
