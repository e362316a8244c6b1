from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance


def test_one_prompt_one_text_with_usage_and_timings(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    answer = client.post("/generate", json={"prompt": "say hello world"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["generated_text"] == "hello world "
    assert body["finish_reason"] == "stop"
    assert (body["prompt_tokens"], body["completion_tokens"], body["cached_tokens"]) == (7, 2, 3)
    assert 0 <= body["queue_ms"] <= body["ttft_ms"] <= body["duration_ms"]
    assert answer.headers["x-request-id"] == body["id"]


def test_the_documented_defaults_reach_the_engine(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    client.post("/generate", json={"prompt": "say x"})
    body = house.engine.bodies[-1]
    assert (body["max_tokens"], body["temperature"], body["top_p"]) == (512, 0.7, 0.9)
    assert body["messages"] == [{"role": "user", "content": "say x"}]


def test_raw_is_no_chat_turn(client: httpx2.Client, house: ScriptedAppliance) -> None:
    answer = client.post("/generate", json={"prompt": "say raw", "raw": True})
    assert answer.json()["generated_text"] == "raw "
    assert house.engine.bodies[-1]["prompt"] == "say raw"


def test_streaming_sends_texts_then_the_outcome(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    before = house.mark()
    with client.stream("POST", "/generate", json={"prompt": "say a b", "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    assert events[:2] == [{"text": "a "}, {"text": "b "}]
    assert events[2]["done"] is True
    assert events[2]["completion_tokens"] == 2
    request, _ = house.rows("/generate", after=before)[0]
    assert (request.status, request.error) == (200, None)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": 5}, "prompt"),
    ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
    ({"prompt": "x", "max_tokens": "many"}, "max_tokens"),
    ({"prompt": "x", "temperature": -0.1}, "temperature"),
    ({"prompt": "x", "temperature": 2.1}, "temperature"),
    ({"prompt": "x", "top_p": 0}, "top_p"),
    ({"prompt": "x", "top_p": 1.1}, "top_p"),
    ({"prompt": "x", "min_p": 2}, "min_p"),
    ({"prompt": "x", "seed": -1}, "seed"),
    ({"prompt": "x", "stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"prompt": "x", "stop": ""}, "stop"),
    ({"prompt": "x", "colour": "blue"}, "colour"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_bad_input_is_422_names_the_field_and_never_reaches_the_engine(
    client: httpx2.Client, house: ScriptedAppliance, body: dict[str, Any], field: str
) -> None:
    before = len(house.engine.bodies)
    answer = client.post("/generate", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(problem["param"].startswith(field) for problem in answer.json()["errors"])
    assert len(house.engine.bodies) == before


def test_a_body_that_is_not_json_is_422(client: httpx2.Client) -> None:
    answer = client.post(
        "/generate", content=b"{nonsense", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422


def test_a_bad_key_is_403(client: httpx2.Client) -> None:
    answer = client.post("/generate", json={"prompt": "say x"}, headers={"x-api-key": "wrong"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "invalid_api_key"


def test_too_long_is_400_with_the_numbers(client: httpx2.Client) -> None:
    answer = client.post("/generate", json={"prompt": "long"})
    assert answer.status_code == 400
    body = answer.json()
    assert (body["prompt_tokens"], body["max_tokens"], body["limit"]) == (9000, 100, 8192)
    assert body["code"] == "context_length_exceeded"


def test_an_engine_that_dies_is_502_and_in_a_stream_a_last_event(client: httpx2.Client) -> None:
    assert client.post("/generate", json={"prompt": "die"}).status_code == 502
    with client.stream("POST", "/generate", json={"prompt": "die", "stream": True}) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    assert events[0] == {"text": "die "}
    assert events[1]["code"] == "engine_failed"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_engine_and_the_row_says_so(
    house: ScriptedAppliance, stream: bool
) -> None:
    house.engine.left.clear()
    house.engine.started.clear()
    before = house.mark()
    with (
        httpx2.Client(base_url=house.url, timeout=0.5) as impatient,
        pytest.raises(httpx2.ReadTimeout),
        impatient.stream("POST", "/generate", json={"prompt": "wait", "stream": stream}) as answer,
    ):
        answer.read()
    assert house.engine.left.wait(5)
    request, generation = house.rows("/generate", after=before)[0]
    assert request.error == "the client left"
    assert generation is not None
    assert generation.finish_reason == "cancelled"
    assert generation.output == "wait "
