"""What both backends hold an answer to, over HTTP: forms, tool calls, scores, choices, tokens."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest

from tests.engine.worker.conftest import CONCURRENCY
from tests.engine.worker.rounding import check_same
from tests.engine.worker.running import answered, scores_of, sse_payloads
from tests.engine.worker.scripted import delta_of
from tests.engine.worker.served import Served

pytestmark = pytest.mark.anyio

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "What is the weather in Paris?"}]
# Nothing in it can grow without end: a random model never closes a number.
PERSON = {
    "type": "object",
    "properties": {"tame": {"type": "boolean"}, "kind": {"enum": ["cat", "dog"]}},
    "required": ["tame", "kind"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"enum": ["celsius", "kelvin"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
BOUND_SECONDS = 60


async def ask(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    wish = {"messages": USER, "temperature": 0, "max_tokens": 120} | body
    return await answered(client, CHAT, wish)


async def content_of(client: httpx2.AsyncClient, **body: Any) -> str:
    answer = await ask(client, **body)
    assert answer["choices"][0]["finish_reason"] == "stop", answer
    return str(answer["choices"][0]["message"]["content"])


def obeys_person(text: str) -> bool:
    value = json.loads(text)
    return set(value) == {"tame", "kind"} and value["kind"] in ("cat", "dog")


@pytest.mark.parametrize("temperature", [0, 1.2])
async def test_schemas_hold(client: httpx2.AsyncClient, temperature: float) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}
    wish = {"temperature": temperature, "seed": 7}
    assert obeys_person(await content_of(client, response_format=schema, **wish))
    assert obeys_person(await content_of(client, structured_outputs={"json": PERSON}, **wish))


async def test_regex_and_choice_hold(client: httpx2.AsyncClient) -> None:
    pattern = "[A-F]{3}-[0-9]{2,4}"
    text = await content_of(client, structured_outputs={"regex": pattern})
    assert re.fullmatch(pattern, text), text
    colours = ["ultramarine", "vermilion", "ochre"]
    assert await content_of(client, structured_outputs={"choice": colours}) in colours
    raw = {"prompt": "My favourite colour is", "max_tokens": 12, "temperature": 0}
    answer = await client.post(TEXT, json=raw | {"structured_outputs": {"choice": colours}})
    assert answer.json()["choices"][0]["text"] in colours


async def test_any_object_is_an_object(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, response_format={"type": "json_object"})
    choice = answer["choices"][0]
    text = choice["message"]["content"]
    assert text.lstrip().startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(text), dict)


async def test_forms_and_free_answers_run_side_by_side(client: httpx2.AsyncClient) -> None:
    free = await ask(client, max_tokens=16, logprobs=True)
    together = await asyncio.gather(
        ask(client, max_tokens=16, logprobs=True),
        content_of(client, structured_outputs={"json": PERSON}),
        content_of(client, structured_outputs={"choice": ["ochre", "umber"]}),
    )
    check_same(scores_of(free), scores_of(together[0]))
    assert obeys_person(together[1])
    assert together[2] in ("ochre", "umber")


async def test_a_schema_that_cannot_be_held_is_refused_by_name(client: httpx2.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "no-such"}}}
    wrong = {"type": "object", "properties": {"a": {"type": "no-such-type"}}}
    for bad, named in ((schema, "format"), (wrong, "type")):
        body = {"messages": USER, "structured_outputs": {"json": bad}, "stream": True}
        response = await client.post(CHAT, json=body)
        assert response.status_code == 400, response.text
        error = response.json()["error"]
        assert error["param"].startswith("structured_outputs")
        assert named in error["message"]


async def test_required_calls_obey_their_schemas(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, tools=[WEATHER, CLOCK], tool_choice="required")
    choice = answer["choices"][0]
    assert choice["finish_reason"] in ("tool_calls", "length")
    calls = [call["function"] for call in choice["message"]["tool_calls"]]
    assert calls
    whole = calls if choice["finish_reason"] == "tool_calls" else calls[:-1]
    for call in whole:
        arguments = json.loads(call["arguments"])
        if call["name"] == "clock":
            assert arguments == {}
        else:
            assert arguments in ({"unit": "celsius"}, {"unit": "kelvin"})


@pytest.mark.parametrize("tool", [WEATHER, CLOCK])
async def test_a_named_call_is_made(client: httpx2.AsyncClient, tool: dict[str, Any]) -> None:
    named = {"type": "function", "function": {"name": tool["function"]["name"]}}
    body = {"tools": [WEATHER, CLOCK], "tool_choice": named}
    choice = (await ask(client, **body))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == tool["function"]["name"]
    wish = {"messages": USER, "temperature": 0, "max_tokens": 120, "stream": True}
    streamed = delta_of(sse_payloads((await client.post(CHAT, json=wish | body)).text))
    assert streamed["finish"] == "tool_calls"
    assert streamed["tool_calls"][0]["arguments"] == call["function"]["arguments"]


async def test_results_are_accepted(client: httpx2.AsyncClient) -> None:
    function = {"name": "get_weather", "arguments": '{"unit": "celsius"}'}
    calling = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    result = {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}
    answer = await ask(client, messages=[*USER, calling, result], tools=[WEATHER], max_tokens=8)
    assert answer["choices"][0]["message"]["content"]


async def test_logprobs_are_those_of_the_shown_tokens(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, logprobs=True, max_tokens=12)
    choice = answer["choices"][0]
    entries = choice["logprobs"]["content"]
    assert b"".join(bytes(e["bytes"]) for e in entries).decode() == choice["message"]["content"]
    assert all(entry["logprob"] <= 0 for entry in entries)
    same = await ask(client, logprobs=True, max_tokens=12, temperature=0.01, top_p=0.5)
    for one, other in zip(entries, same["choices"][0]["logprobs"]["content"], strict=True):
        assert other["logprob"] == pytest.approx(one["logprob"], abs=0.05)


async def test_top_logprobs_or_a_refusal_by_name(client: httpx2.AsyncClient) -> None:
    body = {"messages": USER, "temperature": 0, "max_tokens": 6, "logprobs": True,
            "top_logprobs": 3}  # fmt: skip
    response = await client.post(CHAT, json=body)
    if response.status_code == 400:
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", "top_logprobs")
        return
    for entry in response.json()["choices"][0]["logprobs"]["content"]:
        tops = [top["logprob"] for top in entry["top_logprobs"]]
        assert len(tops) == 3
        assert tops == sorted(tops, reverse=True)
        assert tops[0] == pytest.approx(entry["logprob"], abs=1e-4), "greedy takes the likeliest"


async def test_logit_bias_or_a_refusal_by_name(client: httpx2.AsyncClient) -> None:
    told = await client.post("/tokenize", json={"prompt": " banana"})
    (token,) = told.json()["tokens"][-1:]
    body = {"prompt": "I eat", "max_tokens": 3, "temperature": 0, "logit_bias": {str(token): 100}}
    response = await client.post(TEXT, json=body)
    if response.status_code == 400:
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", "logit_bias")
        return
    said = (await client.post("/detokenize", json={"tokens": [token] * 3})).json()["prompt"]
    assert response.json()["choices"][0]["text"] == said


async def test_choices(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, n=CONCURRENCY, temperature=1.5, max_tokens=12, seed=3)
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(texts)) == CONCURRENCY
    assert answer["usage"]["completion_tokens"] <= 12 * CONCURRENCY
    first = await ask(client, temperature=1.5, max_tokens=12, seed=3)
    assert first["usage"]["prompt_tokens"] == answer["usage"]["prompt_tokens"]
    wish = {"messages": USER, "max_tokens": 8, "n": CONCURRENCY, "temperature": 0, "stream": True}
    async with asyncio.timeout(BOUND_SECONDS):
        chunks = sse_payloads((await client.post(CHAT, json=wish)).text)
    streamed = [delta_of(chunks, index)["content"] for index in range(CONCURRENCY)]
    assert streamed[0] == streamed[1] != ""


async def test_a_prompt_that_was_seen_is_not_computed_again(
    client: httpx2.AsyncClient, served: Served
) -> None:
    # One worker may serve two of these; each has a prompt of its own.
    long = [{"role": "user", "content": f"Count the words of {served.url}. " * 20}]
    first = (await ask(client, messages=long, max_tokens=2))["usage"]
    again = (await ask(client, messages=long, max_tokens=2))["usage"]
    cached = again["prompt_tokens_details"]["cached_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] < cached <= again["prompt_tokens"]
    assert cached >= again["prompt_tokens"] // 2


async def test_tokens_are_counted_as_they_are_admitted(client: httpx2.AsyncClient) -> None:
    counted = (await client.post("/tokenize", json={"messages": USER})).json()
    used = (await ask(client, max_tokens=1))["usage"]
    assert counted["count"] == len(counted["tokens"]) == used["prompt_tokens"]
    assert counted["max_model_len"] == 1024
    back = await client.post("/detokenize", json={"tokens": counted["tokens"]})
    assert USER[0]["content"] in back.json()["prompt"]
