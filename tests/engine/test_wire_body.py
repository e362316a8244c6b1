"""A request of ours as an engine is asked it."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.domain import (
    Constraint,
    GenerationRequest,
    Message,
    NamedTool,
    Sampling,
    Tool,
    ToolCall,
)
from appliance.engine.wire_body import path_and_body

HELLO = (Message("user", "hello"),)
WEATHER = Tool("weather", "of a city", {"type": "object"}, strict=True)


def sent(**wish: Any) -> dict[str, Any]:
    """What is asked beyond what every request asks."""
    _, body = path_and_body("base", GenerationRequest(**{"prompt": HELLO, **wish}))
    usual = {"model", "stream", "stream_options", "messages", "prompt"}
    return {name: value for name, value in body.items() if name not in usual}


def test_only_what_was_chosen_is_sent() -> None:
    assert sent() == {}
    sampling = Sampling(temperature=0.0, stop=("END",), seed=0, top_k=0, logit_bias={5: -100})
    assert sent(sampling=sampling) == {
        "temperature": 0.0,
        "stop": ["END"],
        "seed": 0,
        "top_k": 0,
        "logit_bias": {"5": -100},
    }


def test_usage_is_always_wanted_and_an_adapter_is_a_model() -> None:
    path, body = path_and_body("base", GenerationRequest(prompt="once", adapter="poet"))
    assert (path, body["model"], body["prompt"]) == ("/completions", "poet", "once")
    assert body["stream_options"] == {"include_usage": True}
    assert path_and_body("base", GenerationRequest(prompt=HELLO))[0] == "/chat/completions"


def test_a_turn_with_tools_keeps_its_calls_results_and_thinking() -> None:
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    turns = (
        Message("assistant", "", reasoning="hm", tool_calls=(call,)),
        Message("tool", "rain", tool_call_id="c1"),
    )
    _, body = path_and_body("base", GenerationRequest(prompt=turns))
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            "reasoning": "hm",
            "reasoning_content": "hm",
        },
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        (NamedTool("weather"), {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_which_tool_is_to_be_called(choice: Any, expected: Any) -> None:
    body = sent(tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=False)
    assert body.pop("tool_choice", None) == expected
    function = {"name": "weather", "description": "of a city", "strict": True}
    function["parameters"] = {"type": "object"}
    tools = [{"type": "function", "function": function}]
    assert body == {"tools": tools, "parallel_tool_calls": False}


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (Constraint("json_object"), {"response_format": {"type": "json_object"}}),
        (Constraint("regex", "a+"), {"structured_outputs": {"regex": "a+"}}),
        (Constraint("choice", ("a", "b")), {"structured_outputs": {"choice": ["a", "b"]}}),
    ],
)
def test_the_form_of_an_answer(constraint: Constraint, expected: dict[str, Any]) -> None:
    assert sent(constraint=constraint) == expected
    assert sent(prompt="once", constraint=constraint) == expected


def test_a_schema_is_strict() -> None:
    body = sent(constraint=Constraint("json_schema", {"type": "object"}))
    schema = body["response_format"]["json_schema"]
    assert (schema["schema"], schema["strict"]) == ({"type": "object"}, True)


def test_log_probabilities_choices_and_thinking_in_each_routes_words() -> None:
    assert sent(top_logprobs=0) == {"logprobs": True, "top_logprobs": 0}
    assert sent(prompt="once", top_logprobs=3) == {"logprobs": 3}
    assert sent(choices=2, thinking_budget=9, enable_thinking=True) == {
        "n": 2,
        "thinking_token_budget": 9,
        "chat_template_kwargs": {"enable_thinking": True},
    }
