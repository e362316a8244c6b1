"""What the ledger is told, and that it can be read back."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.domain import (
    GenerationRequest,
    Message,
    NamedTool,
    ReasoningDelta,
    Sampling,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from appliance.gateway.account import Account, read_input, read_output, written_input
from appliance.gateway.terms import parameters
from appliance.ledger.tables import GenerationRecord

HELLO = (Message("user", "Hello"),)


def record(**values: Any) -> GenerationRecord:
    fixed: dict[str, Any] = {
        "id": "g",
        "request_id": "r",
        "model": "m",
        "precision": "p",
        "engine": "e",
    }
    return GenerationRecord(**fixed, **values)


def test_of_several_choices_each_keeps_its_own() -> None:
    account = Account(choices=2)
    for delta in (
        TextDelta("a", 1), ReasoningDelta("hm", 0), TextDelta("b", 0), TextDelta("c", 1),
        ToolCallDelta(0, "i1", "look", "{", 1), ToolCallDelta(0, arguments="}", choice=1),
        ToolCallDelta(1, "i2", "find", "{}", 1),
    ):  # fmt: skip
        account.take(delta)
    assert (account.output(), account.reasoning()) == ('["b", "ac"]', '["hm", ""]')
    assert account.tool_calls() == [
        {"choice": 1, "id": "i1", "name": "look", "arguments": "{}"},
        {"choice": 1, "id": "i2", "name": "find", "arguments": "{}"},
    ]
    assert read_output(record(output=account.output(), parameters={"n": 2})) == ("b", "ac")


@pytest.mark.parametrize(("output", "texts"), [("[1]", ("[1]",)), ("", ()), (None, ())])
def test_the_text_of_one_choice_is_just_that(output: str | None, texts: tuple[str, ...]) -> None:
    assert read_output(record(output=output, parameters={})) == texts


def test_only_what_was_asked_for_is_a_parameter() -> None:
    assert parameters(GenerationRequest(prompt=HELLO)) == {}
    asked = GenerationRequest(
        prompt=HELLO,
        sampling=Sampling(seed=0, temperature=0.0, logit_bias={7: -1.0}, stop=("\n",)),
        choices=2,
        enable_thinking=False,
        thinking_budget=0,
        tools=(Tool("look"), Tool("find")),
        tool_choice=NamedTool("find"),
        parallel_tool_calls=False,
        top_logprobs=0,
        adapter="poet",
    )
    assert parameters(asked) == {
        "seed": 0,
        "temperature": 0.0,
        "logit_bias": {7: -1.0},
        "stop": ("\n",),
        "n": 2,
        "enable_thinking": False,
        "thinking_budget": 0,
        "tools": ["look", "find"],
        "tool_choice": {"name": "find"},
        "parallel_tool_calls": False,
        "top_logprobs": 0,
        "adapter": "poet",
    }


@pytest.mark.parametrize(
    "prompt",
    [
        HELLO,
        (
            Message("assistant", "", "why", (ToolCall("1", "a", "{}"), ToolCall("2", "b", "{}"))),
            Message("tool", "", tool_call_id="1"),
        ),
    ],
)
def test_what_is_written_can_be_read_again(prompt: tuple[Message, ...]) -> None:
    assert read_input(written_input(GenerationRequest(prompt=prompt))) == prompt


def test_a_raw_prompt_is_read_as_a_users_turn() -> None:
    assert read_input(written_input(GenerationRequest(prompt="Once"))) == (Message("user", "Once"),)
    assert read_input(None) == ()
