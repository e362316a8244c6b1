"""What every engine promises over HTTP: our workers, and the appliance before a remote one."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import pytest

from tests.engine.worker.conftest import CONCURRENCY
from tests.engine.worker.rounding import check_same
from tests.engine.worker.running import answered, content_of, scores_of, sse_payloads
from tests.engine.worker.served import Served

pytestmark = pytest.mark.anyio

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "What is the capital of France?"}]
BOUND_SECONDS = 60


async def ask(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    """A whole answer of the chat route, greedy unless said otherwise."""
    wish = {"messages": USER, "temperature": 0, "max_tokens": 24} | body
    return await answered(client, CHAT, wish)


async def text_of(client: httpx2.AsyncClient, **body: Any) -> str:
    answer = await ask(client, **body)
    return str(answer["choices"][0]["message"]["content"])


async def scored(client: httpx2.AsyncClient, **body: Any) -> list[tuple[str, float]]:
    return scores_of(await ask(client, logprobs=True, **body))


def spelt(scores: list[tuple[str, float]]) -> str:
    return "".join(token for token, _ in scores)


async def refusal(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(CHAT, json={"messages": USER, "max_tokens": 4} | body)
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


async def test_answer_has_openais_shape(client: httpx2.AsyncClient, served: Served) -> None:
    answer = await ask(client, max_tokens=5)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == served.model
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 5
    assert usage["total_tokens"] == usage["prompt_tokens"] + 5


async def test_stream_is_the_whole_answer_in_pieces(client: httpx2.AsyncClient) -> None:
    await ask(client)  # from now on the prompt is in the cache, and counted as such
    whole = await ask(client)
    ask_for = {"messages": USER, "temperature": 0, "max_tokens": 24, "stream": True}
    response = await client.post(CHAT, json=ask_for | {"stream_options": {"include_usage": True}})
    assert response.headers["content-type"].startswith("text/event-stream")
    first, *middle, last, usage = sse_payloads(response.text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert content_of(middle) == whole["choices"][0]["message"]["content"]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in [first, *middle])
    assert last["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]


async def test_stream_without_usage_ends_with_the_finish_reason(client: httpx2.AsyncClient) -> None:
    body = {"prompt": "One, two, three,", "temperature": 0, "max_tokens": 4, "stream": True}
    chunks = sse_payloads((await client.post(TEXT, json=body)).text)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert all("usage" not in chunk for chunk in chunks)
    whole = (await client.post(TEXT, json=body | {"stream": False})).json()
    assert content_of(chunks) == whole["choices"][0]["text"] != ""


async def test_batched_answers_are_the_single_ones(client: httpx2.AsyncClient) -> None:
    questions = [f"Write a sentence about the number {number}." for number in range(5)]
    asks = [{"messages": [{"role": "user", "content": text}]} for text in questions]
    single = [await scored(client, **one) for one in asks]
    together = await asyncio.gather(*(scored(client, **one) for one in asks))
    assert len({spelt(one) for one in single}) > 1
    for number, (alone, batched) in enumerate(zip(single, together, strict=True)):
        if spelt(alone) != spelt(batched):
            check_same(alone, batched)
            assert f"number {number}" in spelt(alone)
            assert f"number {number}" in spelt(batched)


async def test_stop_string_ends_the_answer_and_is_not_shown(client: httpx2.AsyncClient) -> None:
    text = await text_of(client)
    for start in range(2, len(text) - 3, 5):
        stop = text[start : start + 3]
        answer = await ask(client, stop=[stop, "never there"])
        choice = answer["choices"][0]
        assert choice["message"]["content"] == text[: text.index(stop)]
        assert choice["finish_reason"] == "stop"


async def test_greedy_is_what_temperature_zero_and_top_k_one_mean(
    client: httpx2.AsyncClient,
) -> None:
    greedy = await text_of(client)
    assert await text_of(client, temperature=1.5, top_k=1) == greedy
    assert await text_of(client, temperature=1.0, min_p=1.0) == greedy
    assert await text_of(client, temperature=1.0, top_p=1e-6) == greedy


async def test_seed_repeats_an_answer(client: httpx2.AsyncClient) -> None:
    one = await text_of(client, temperature=1.5, seed=7)
    assert await text_of(client, temperature=1.5, seed=7) == one
    assert await text_of(client, temperature=1.5, seed=8) != one


async def test_without_a_seed_answers_differ(client: httpx2.AsyncClient) -> None:
    answers = {await text_of(client, temperature=1.5) for _ in range(3)}
    assert len(answers) > 1


async def test_penalties_change_a_repeating_answer(client: httpx2.AsyncClient) -> None:
    body = {"prompt": "la la la la la la la la la la", "temperature": 0, "max_tokens": 24}
    plain = (await client.post(TEXT, json=body)).json()["choices"][0]["text"]
    for penalty in ({"frequency_penalty": 2}, {"presence_penalty": 2}, {"repetition_penalty": 2}):
        other = (await client.post(TEXT, json=body | penalty)).json()["choices"][0]["text"]
        assert other != plain, penalty


async def test_content_may_be_text_parts(client: httpx2.AsyncClient) -> None:
    parts = [
        {"type": "text", "text": "What is the capital "},
        {"type": "text", "text": "of France?"},
    ]
    assert await text_of(client, messages=[{"role": "user", "content": parts}]) == await text_of(
        client
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"store_it_somewhere": True}, "store_it_somewhere"),
        ({"messages": [{"role": "user", "content": "x", "mood": "blue"}]}, "messages.0.mood"),
        ({"chat_template_kwargs": {"colour": "red"}}, "chat_template_kwargs.colour"),
        (
            {"chat_template_kwargs": {"enable_thinking": True}},
            "chat_template_kwargs.enable_thinking",
        ),
    ],
)
async def test_what_is_not_known_is_refused_by_name(
    client: httpx2.AsyncClient, body: dict[str, Any], param: str
) -> None:
    error = await refusal(client, **body)
    assert error["code"] == "unsupported_parameter"
    assert error["param"] == param


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", "warm"),
        ("top_p", 0),
        ("top_k", -1),
        ("min_p", 1.1),
        ("presence_penalty", -2.1),
        ("repetition_penalty", 0),
        ("max_tokens", 0),
        ("n", 0),
        ("n", CONCURRENCY + 1),
        ("n", 17),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("stop", ""),
        ("messages", []),
    ],
)
async def test_values_out_of_range_are_refused(
    client: httpx2.AsyncClient, name: str, value: Any
) -> None:
    error = await refusal(client, **{name: value})
    assert error["code"] == "invalid_value"
    assert error["param"].startswith(name)
    if isinstance(value, int | float):
        assert str(value) in error["message"]


async def test_harmless_fields_are_accepted(client: httpx2.AsyncClient) -> None:
    await ask(client, user="me", n=1, logprobs=False, max_tokens=1)


async def test_too_long_is_refused_with_the_numbers(client: httpx2.AsyncClient) -> None:
    error = await refusal(client, max_tokens=1020)
    assert error["code"] == "context_length_exceeded"
    numbers = {int(number) for number in re.findall(r"\d+", error["message"])}
    assert {1020, 1024} < numbers
    assert any(4 < prompt < 1020 for prompt in numbers)
    long = await refusal(client, messages=[{"role": "user", "content": "word " * 2000}])
    assert long["code"] == "context_length_exceeded"


async def test_without_max_tokens_the_answer_may_use_what_is_left(
    client: httpx2.AsyncClient,
) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 950}], "stop": ["\x00"]}
    answer = (await client.post(CHAT, json=body)).json()
    usage = answer["usage"]
    assert usage["total_tokens"] <= 1024
    if answer["choices"][0]["finish_reason"] == "length":
        assert usage["total_tokens"] == 1024


async def test_key_is_wanted(served: Served) -> None:
    for key in (None, "wrong"):
        async with served.client(key) as stranger:
            for response in (
                await stranger.get("/v1/models"),
                await stranger.post(CHAT, json={"messages": USER}),
            ):
                assert response.status_code == 401
                assert response.json()["error"]["code"] == "invalid_api_key"
            assert (await stranger.get("/health")).status_code == 200


async def test_models_names_the_one_model(client: httpx2.AsyncClient, served: Served) -> None:
    models = (await client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in models] == [served.model]
