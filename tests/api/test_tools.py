"""Tools by OpenAI's own client: declared, called, streamed, answered."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from tests.scripted_app import ScriptedAppliance

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
OSLO = '{"city": "Oslo"}'


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_call_and_its_result_go_round(sdk: openai.OpenAI, house: ScriptedAppliance) -> None:
    """The message is sent back as the SDK gives it."""
    turns = ask(f"call weather {OSLO}")
    answer = sdk.chat.completions.create(model="auto", messages=turns, tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", OSLO)
    turns += [choice.message.model_dump(), {"role": "tool", "tool_call_id": "call_1"}]
    turns[-1]["content"] = "say rain"
    last = sdk.chat.completions.create(model="auto", messages=turns, tools=[WEATHER])
    assert last.choices[0].message.content == "rain "
    sent = house.engine.bodies[-1]
    function = {"name": "weather", "arguments": OSLO}
    assert sent["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert sent["messages"][2] == {"role": "tool", "content": "say rain", "tool_call_id": "call_1"}
    assert sent["tools"] == [WEATHER]


def test_a_streamed_call_is_put_together_by_the_sdks_helper(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model="auto", messages=ask(f"call weather {OSLO}"), tools=[WEATHER]
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion().choices[0]
    assert kinds.count("tool_calls.function.arguments.delta") >= 2
    assert "tool_calls.function.arguments.done" in kinds
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls is not None
    assert final.message.tool_calls[0].function.arguments == OSLO


def test_a_call_is_named_in_its_first_piece_alone(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="auto", messages=ask(f"call weather {OSLO}"), tools=[WEATHER], stream=True
    )
    pieces = [p for c in stream for p in c.choices[0].delta.tool_calls or ()]
    first, *others = pieces
    assert (first.index, first.id, first.type) == (0, "call_1", "function")
    assert first.function is not None
    assert (first.function.name, first.function.arguments) == ("weather", "")
    assert {(p.id, p.type) for p in others} == {(None, None)}
    assert "".join(p.function.arguments or "" for p in others if p.function) == OSLO


def test_careless_servers_calls_are_two(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="auto", messages=ask("calls"), tools=[WEATHER])
    calls = answer.choices[0].message.tool_calls or []
    assert [call.id for call in calls] == ["id-one", "id-two"]
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "choice", ["none", "required", {"type": "function", "function": {"name": "weather"}}]
)
def test_which_tool_is_to_be_called_reaches_the_engine(
    sdk: openai.OpenAI, house: ScriptedAppliance, choice: Any
) -> None:
    sdk.chat.completions.create(
        model="auto",
        messages=ask("say x"),
        tools=[WEATHER],
        tool_choice=choice,
        parallel_tool_calls=False,
    )
    sent = house.engine.bodies[-1]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == (choice, False)


def test_no_tools_are_no_tools(sdk: openai.OpenAI, house: ScriptedAppliance) -> None:
    sdk.chat.completions.create(model="auto", messages=ask("say x"), tools=[], tool_choice="auto")
    assert not {"tools", "tool_choice"} & set(house.engine.bodies[-1])


USER = {"role": "user", "content": "x"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
    ({"tools": [WEATHER, WEATHER]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "sometimes", "tools": [WEATHER]}, "tool_choice"),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "tools": [WEATHER]},
        "tool_choice",
    ),
    ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages.1"),
    ({"messages": [USER, {"role": "user", "content": "x", "tool_call_id": "a"}]}, "messages.1"),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages.0"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages.1"),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}]},
        "messages.1.tool_calls.0.function",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages.0.content.0.type",
    ),
]


@pytest.mark.parametrize(("change", "param"), BAD)
def test_what_makes_no_sense_is_refused_at_its_place(
    client: httpx2.Client, change: dict[str, Any], param: str
) -> None:
    body = {"messages": [USER], **change}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
