"""Forms, choices, log-probabilities and thinking, by OpenAI's own client."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.scripted_app import ScriptedAppliance


class City(BaseModel):
    name: str
    people: int


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_pydantic_model_is_a_response_format(
    sdk: openai.OpenAI, house: ScriptedAppliance
) -> None:
    answer = sdk.chat.completions.parse(
        model="auto", messages=ask('text {"name": "Oslo", "people": 700000}'), response_format=City
    )
    assert answer.choices[0].message.parsed == City(name="Oslo", people=700000)
    sent = house.engine.bodies[-1]["response_format"]
    assert sent["type"] == "json_schema"
    assert set(sent["json_schema"]["schema"]["properties"]) == {"name", "people"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}},
        ),
        ({"structured_outputs": {"regex": "a+"}}, {"structured_outputs": {"regex": "a+"}}),
        ({"structured_outputs": {"choice": ["a"]}}, {"structured_outputs": {"choice": ["a"]}}),
        ({"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning_effort": "minimal"}, {"thinking_token_budget": 512}),
        ({"reasoning_effort": "medium"}, {"thinking_token_budget": 4096}),
        ({"reasoning_effort": "high"}, {}),
        ({"reasoning_effort": "low", "thinking_budget": 7}, {"thinking_token_budget": 7}),
        ({"thinking_token_budget": 0}, {"thinking_token_budget": 0}),
        ({"logit_bias": {"7": -100}}, {"logit_bias": {"7": -100.0}}),
        ({"n": 1, "logprobs": False, "tool_choice": "none"}, {}),
        ({"store": False, "service_tier": "auto", "verbosity": "medium"}, {}),
        ({"user": "u", "metadata": {"a": "b"}, "safety_identifier": "s"}, {}),
        ({"prompt_cache_key": "k", "modalities": ["text"]}, {}),
    ],
)
def test_what_is_asked_reaches_the_engine_and_nothing_else(
    client: httpx2.Client, house: ScriptedAppliance, given: Any, expected: Any
) -> None:
    answer = client.post("/v1/chat/completions", json={"messages": ask("say x"), **given})
    assert answer.status_code == 200, answer.text
    usual = {"model", "stream", "stream_options", "messages"}
    sent = {k: v for k, v in house.engine.bodies[-1].items() if k not in usual}
    assert sent == expected


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"store": True}, "store"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"verbosity": "low"}, "verbosity"),
        ({"modalities": ["audio"]}, "modalities.0"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"n": 0}, "n"),
        ({"logit_bias": {"one": 1}}, "logit_bias.one"),
        ({"thinking_budget": -1}, "thinking_budget"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        (
            {"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}},
            "structured_outputs",
        ),
        ({"chat_template_kwargs": {"colour": 1}}, "chat_template_kwargs.colour"),
        ({"guided_json": {}}, "guided_json"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(
    client: httpx2.Client, given: dict[str, Any], param: str
) -> None:
    answer = client.post("/v1/chat/completions", json={"messages": ask("say x"), **given})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_two_choices_whole_and_streamed(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="auto", messages=ask("say a b"), n=2)
    assert [c.message.content for c in answer.choices] == ["a b ", "a b "]
    assert [c.index for c in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    texts, ends = ["", ""], ["", ""]
    stream = sdk.chat.completions.create(model="auto", messages=ask("say a b"), n=2, stream=True)
    for chunk in stream:
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        ends[choice.index] += choice.finish_reason or ""
    assert (texts, ends) == (["a b ", "a b "], ["stop", "stop"])


def test_log_probabilities_whole_and_streamed(sdk: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "auto", "messages": ask("scored a ä")}
    options |= {"logprobs": True, "top_logprobs": 1}
    whole = sdk.chat.completions.create(**options).choices[0].logprobs
    assert whole is not None
    assert whole.content is not None
    assert [(t.token, t.logprob, t.bytes) for t in whole.content] == [
        ("a ", -0.5, [97, 32]),
        ("ä ", -0.5, [195, 164, 32]),
    ]
    assert whole.content[0].top_logprobs[0].token == "a "
    with sdk.chat.completions.stream(**options) as stream:
        streamed = stream.get_final_completion().choices[0].logprobs
    assert streamed is not None
    assert streamed.model_dump() == whole.model_dump()


def test_log_probabilities_of_plain_completions_have_places(sdk: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "auto", "prompt": "scored a bc", "logprobs": 1}
    whole = sdk.completions.create(**options).choices[0].logprobs
    assert whole is not None
    assert (whole.tokens, whole.text_offset) == (["a ", "bc "], [0, 2])
    assert (whole.token_logprobs, whole.top_logprobs) == ([-0.5] * 2, [{"a ": -0.5}, {"bc ": -0.5}])
    streamed = list(sdk.completions.create(**options, stream=True))
    found = [c.choices[0].logprobs for c in streamed if c.choices[0].logprobs]
    assert [each.text_offset for each in found] == [[0], [2]]


def test_thinking_is_counted(sdk: openai.OpenAI) -> None:
    usage = sdk.chat.completions.create(model="auto", messages=ask("think")).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 1


def test_generate_takes_a_form_and_a_budget(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    wish = {"prompt": "say yes", "structured_outputs": {"choice": ["yes", "no"]}}
    answer = client.post("/generate", json=wish | {"thinking_budget": 5, "model": "scripted"})
    assert answer.json()["generated_text"] == "yes "
    sent = house.engine.bodies[-1]
    assert sent["structured_outputs"] == {"choice": ["yes", "no"]}
    assert sent["thinking_token_budget"] == 5
    assert client.post("/generate", json=wish | {"model": "gpt-9"}).status_code == 404


def test_an_engines_refusal_comes_through_with_its_place(client: httpx2.Client) -> None:
    said = '{"error": {"message": "No min_p.", "param": "min_p", "code": "unsupported_parameter"}}'
    body = {"messages": ask(f"refuse 400 {said}"), "min_p": 0.1}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("min_p", "unsupported_parameter")
    assert error["message"] == "No min_p."
