"""`/tokenize`, `/detokenize`, and HEAD for what GET answers."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance


def test_a_prompt_is_asked_of_the_engine_and_recorded(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    before = house.mark()
    answer = client.post("/tokenize", json={"model": "auto", "prompt": "hello"})
    assert answer.json() == {"count": 2, "max_model_len": 8192, "tokens": [1, 2]}
    assert house.engine.bodies[-1] == {"model": "scripted", "prompt": "hello"}
    row, generation = house.rows("/tokenize", after=before)[0]
    assert (row.status, row.key_name, generation) == (200, "owner", None)


def test_a_conversation_goes_as_it_came(client: httpx2.Client, house: ScriptedAppliance) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [tool],
        "add_generation_prompt": False,
        "chat_template_kwargs": {"enable_thinking": False},
        "return_token_strs": True,
    }
    assert client.post("/tokenize", json=body).status_code == 200
    assert house.engine.bodies[-1] == body | {"model": "scripted"}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/tokenize", {}, 400, "either prompt or messages"),
        ("/tokenize", {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, 400, "or"),
        ("/tokenize", {"prompt": "x", "colour": 1}, 400, "colour"),
        ("/tokenize", {"prompt": "x", "model": "gpt-9"}, 404, "scripted"),
        ("/tokenize", {"prompt": "other"}, 404, "/tokenize"),
        ("/detokenize", {"tokens": [1]}, 404, "/detokenize"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens.0"),
    ],
)
def test_what_cannot_be_answered_is_said_in_openais_envelope(
    client: httpx2.Client, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_a_key_is_wanted(client: httpx2.Client) -> None:
    headers = {"authorization": "Bearer wrong"}
    answer = client.post("/tokenize", json={"prompt": "x"}, headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/models", "/v1/models/auto", "/docs"])
def test_head_is_get_without_a_body(client: httpx2.Client, path: str) -> None:
    answer, whole = client.head(path), client.get(path)
    assert (answer.status_code, answer.content) == (whole.status_code, b"")
    assert answer.headers["content-type"] == whole.headers["content-type"]
