"""The whole way with a real model: OpenAI's client, our front, our worker, the packaged model.

The model is not clever; what a grammar enforces it obeys all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import httpx2
import openai
import pytest
from pydantic import BaseModel

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
QUESTION: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Verdict(BaseModel):
    animal: Literal["whale", "shark"]
    is_fish: bool


@pytest.fixture(scope="module")
def sdk(live_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=live_url + "/v1", api_key="none", max_retries=0) as made:
        yield made


def options(**more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": QUESTION, "temperature": 0, "max_tokens": 60, **more}


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
def test_a_tool_that_must_be_called_is_called(sdk: openai.OpenAI, choice: Any) -> None:
    answer = sdk.chat.completions.create(
        **options(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)
    )
    first = answer.choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")


def test_a_streamed_call_is_the_same_and_its_result_is_taken(sdk: openai.OpenAI) -> None:
    wish = options(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    with sdk.chat.completions.stream(**wish) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")
    turns = [*QUESTION, message.model_dump(exclude={"parsed"}, exclude_none=True)]
    for made in turns[-1]["tool_calls"]:
        made["function"].pop("parsed_arguments", None)
    turns += [{"role": "tool", "tool_call_id": call.id, "content": "Rain, 4 degrees."}]
    last = sdk.chat.completions.create(**options(messages=turns, tools=[WEATHER], max_tokens=8))
    assert last.choices[0].message.content


def test_a_pydantic_model_is_filled(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.parse(
        **options(messages=[{"role": "user", "content": "Is a whale a fish?"}]),
        response_format=Verdict,
    )
    assert isinstance(answer.choices[0].message.parsed, Verdict)


@pytest.mark.parametrize(
    ("form", "said"),
    [({"choice": ["yes", "no"]}, ("yes", "no")), ({"regex": "(ja|nein)"}, ("ja", "nein"))],
)
def test_a_form_of_vllm_is_kept(sdk: openai.OpenAI, form: Any, said: tuple[str, ...]) -> None:
    answer = sdk.chat.completions.create(**options(), extra_body={"structured_outputs": form})
    assert answer.choices[0].message.content in said


def test_log_probabilities_are_of_the_tokens_said(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(**options(logprobs=True, max_tokens=6)).choices[0]
    assert answer.logprobs is not None
    tokens = answer.logprobs.content
    assert tokens
    assert all(token.logprob <= 0 for token in tokens)
    said = b"".join(bytes(token.bytes or ()) for token in tokens).decode(errors="ignore")
    assert said.startswith(answer.message.content or "nothing was said")


def test_two_choices_are_two_answers(sdk: openai.OpenAI) -> None:
    wish = options(n=2, temperature=1, seed=3, max_tokens=12)
    answer = sdk.chat.completions.create(**wish)
    texts = [choice.message.content for choice in answer.choices]
    assert len(texts) == len(set(texts)) == 2
    assert answer.usage is not None
    assert 2 <= answer.usage.completion_tokens <= 24
    streamed = ["", ""]
    for chunk in sdk.chat.completions.create(**wish, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert all(streamed)


def test_tokens_go_there_and_back(live_url: str) -> None:
    with httpx2.Client(base_url=live_url, timeout=30) as client:
        tokens = client.post("/tokenize", json={"prompt": "Grüß dich!"}).json()
        assert tokens["count"] == len(tokens["tokens"]) > 0
        back = client.post("/detokenize", json={"tokens": tokens["tokens"]}).json()
        assert back["prompt"].endswith("Grüß dich!")
        chat = client.post("/tokenize", json={"messages": QUESTION, "tools": [WEATHER]}).json()
        usage = client.post("/generate", json={"prompt": QUESTION[0]["content"], "max_tokens": 1})
        assert 0 < usage.json()["prompt_tokens"] <= chat["count"]


def test_what_the_engine_lacks_is_refused_by_its_name(live_url: str) -> None:
    """The front asks for what it knows; the worker knows what its backend can."""
    bad_schema = {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "wrong"}}}}
    body = {"messages": QUESTION, "response_format": {"type": "json_schema"}}
    body["response_format"] |= {"json_schema": bad_schema}  # type: ignore[operator]
    answer = httpx2.post(live_url + "/v1/chat/completions", json=body, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("response_format")
