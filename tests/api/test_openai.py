"""OpenAI's dialect, through OpenAI's own client."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from tests.scripted_app import ScriptedAppliance


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_the_served_model_is_listed(sdk: openai.OpenAI) -> None:
    (model,) = sdk.models.list().data
    assert model.id == "scripted"
    assert sdk.models.retrieve("scripted").id == "scripted"


def test_a_whole_answer(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="scripted", messages=ask("say a b"))
    assert answer.choices[0].message.content == "a b "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 9
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 3


def test_a_streamed_answer_with_usage(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="auto",
        messages=ask("say a b"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "a b "
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert len({c.id for c in chunks}) == 1


def test_no_usage_unless_asked_for(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(model="auto", messages=ask("say a"), stream=True)
    assert all(chunk.usage is None for chunk in stream)


def test_thinking_has_both_names(sdk: openai.OpenAI) -> None:
    message = sdk.chat.completions.create(model="auto", messages=ask("think")).choices[0].message
    extra = message.model_extra or {}
    assert extra["reasoning"] == extra["reasoning_content"] == "hm"
    assert message.content == "think "


def test_text_parts_and_developer_messages(sdk: openai.OpenAI, house: ScriptedAppliance) -> None:
    sdk.chat.completions.create(
        model="auto",
        messages=[
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "say "}, {"type": "text", "text": "x"}],
            },
        ],
        max_completion_tokens=9,
    )
    body = house.engine.bodies[-1]
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "say x"},
    ]
    assert body["max_tokens"] == 9


def test_every_sampling_parameter_reaches_the_engine(
    sdk: openai.OpenAI, house: ScriptedAppliance
) -> None:
    extra = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}
    sdk.chat.completions.create(
        model="auto",
        messages=ask("say x"),
        temperature=0.3,
        top_p=0.5,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop=["a", "b"],
        max_tokens=3,
        extra_body=extra | {"chat_template_kwargs": {"enable_thinking": False}},
    )
    sent = house.engine.bodies[-1]
    expected = {"temperature": 0.3, "top_p": 0.5, "seed": 7, "presence_penalty": 0.1}
    expected |= {"frequency_penalty": 0.2, "max_tokens": 3, **extra}
    assert expected.items() <= sent.items()
    assert sent["stop"] == ["a", "b"]
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}


def test_completions_continue_a_text(sdk: openai.OpenAI, house: ScriptedAppliance) -> None:
    answer = sdk.completions.create(model="auto", prompt="say on and on")
    assert answer.choices[0].text == "on and on "
    assert house.engine.bodies[-1]["max_tokens"] == 16
    stream = sdk.completions.create(model="auto", prompt=["say a b"], stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "a b "


def test_several_prompts_are_answered_side_by_side(
    sdk: openai.OpenAI, house: ScriptedAppliance
) -> None:
    before = house.mark()
    prompts = ["say a", "say b b", "say c", "say d", "say e", "say f"]
    answer = sdk.completions.create(model="auto", prompt=prompts, n=2)
    texts = [choice.text for choice in answer.choices]
    assert texts == ["a ", "a ", "b b ", "b b ", "c ", "c ", "d ", "d ", "e ", "e ", "f ", "f "]
    assert [choice.index for choice in answer.choices] == list(range(12))
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (42, 14)
    rows = house.rows("/v1/completions", after=before, count=6)
    assert len({request.id for request, _ in rows}) == 1
    assert sorted(str(generation.input) for _, generation in rows if generation) == sorted(prompts)


def test_several_prompts_in_a_stream(sdk: openai.OpenAI) -> None:
    texts = ["", "", ""]
    prompts = ["say a b", "say c", "say d"]
    for chunk in sdk.completions.create(model="auto", prompt=prompts, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == ["a b ", "c ", "d "]


def test_token_ids_and_echo_reach_the_engine(sdk: openai.OpenAI, house: ScriptedAppliance) -> None:
    answer = sdk.completions.create(model="auto", prompt=[[5, 6], [7]], echo=True, logprobs=1)
    assert [choice.text for choice in answer.choices] == ["5 6 ", "7 "]
    sent = [body for body in house.engine.bodies[-2:] if body["echo"] and body["logprobs"] == 1]
    assert sorted(body["prompt"] for body in sent) == [[5, 6], [7]]


def test_one_refused_prompt_refuses_all(client: httpx2.Client, house: ScriptedAppliance) -> None:
    house.engine.left.clear()
    body = {"prompt": ["wait", "refuse 400"]}
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 400
    assert "refused with 400" in answer.text
    assert house.engine.left.wait(20)


def test_a_stream_ends_where_one_of_its_prompts_breaks(client: httpx2.Client) -> None:
    body = {"prompt": ["say a", "die", "wait"], "stream": True}
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200
    assert "stopped in the middle" in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    "prompt", [None, "", [], [""], [[]], [[1], []], [1, "a"], [-1], ["a"] * 129]
)
def test_what_is_no_prompt_is_refused(client: httpx2.Client, prompt: Any) -> None:
    answer = client.post("/v1/completions", json={"prompt": prompt})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("prompt")


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "invalid_value"),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"n": 17}, "n", "invalid_value"),
    ({"functions": []}, "functions", "unsupported_parameter"),
    ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value"),
    ({"max_tokens": -1}, "max_tokens", "invalid_value"),
]


@pytest.mark.parametrize(("change", "param", "code"), REFUSED)
def test_what_cannot_be_obeyed_is_refused_by_name(
    client: httpx2.Client, change: dict[str, Any], param: str, code: str
) -> None:
    body = {"model": "auto", "messages": ask("say x")} | change
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert param.rpartition(".")[2] in error["message"]


def test_an_unknown_model_is_404_and_lists_what_there_is(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"'gpt-9'.*scripted"):
        sdk.chat.completions.create(model="gpt-9", messages=ask("say x"))


def test_a_wrong_key_is_401(house: ScriptedAppliance) -> None:
    sdk = openai.OpenAI(base_url=house.url + "/v1", api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="not known"):
        sdk.models.list()


def test_a_named_key_is_in_the_ledger(house: ScriptedAppliance) -> None:
    sdk = openai.OpenAI(base_url=house.url + "/v1", api_key=house.key("anna"), max_retries=0)
    before = house.mark()
    sdk.chat.completions.create(model="auto", messages=ask("say anna"))
    request, generation = house.rows("/v1/chat/completions", after=before)[0]
    assert (request.key_name, request.status, request.client_ip) == ("anna", 200, "127.0.0.1")
    assert generation is not None
    assert generation.output == "anna "


def test_a_keys_limit_is_429_with_a_time_to_come_back(house: ScriptedAppliance) -> None:
    secret = house.key("ben", rate="1/hour")
    sdk = openai.OpenAI(base_url=house.url + "/v1", api_key=secret, max_retries=0)
    sdk.chat.completions.create(model="auto", messages=ask("say x"))
    with pytest.raises(openai.RateLimitError, match="1/hour") as caught:
        sdk.chat.completions.create(model="auto", messages=ask("say x"))
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 3600


def test_an_error_in_the_middle_of_a_stream_is_an_error_for_the_client(
    sdk: openai.OpenAI,
) -> None:
    stream = sdk.chat.completions.create(model="auto", messages=ask("die"), stream=True)
    with pytest.raises(openai.APIError, match="stopped in the middle"):
        list(stream)


def test_too_long_is_400_with_the_numbers(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"9000.*8192") as caught:
        sdk.chat.completions.create(model="auto", messages=ask("long"))
    assert caught.value.code == "context_length_exceeded"
