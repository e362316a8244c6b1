"""The chat route over a scripted model: tools, choices, adapters, usage, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.engine.worker.forms import JsonObject, JsonSchema, OneOf, Regex, ToolCalls
from appliance.engine.worker.tokenizer import TextTokenizer
from appliance.errors import InvalidRequest
from tests.engine.worker.scripted import (
    CALL,
    CHAT,
    OFF,
    PLAIN,
    SCHEMA,
    SECOND,
    TEXT,
    TOOLS,
    USER,
    Call,
    ScriptedBackend,
    delta_of,
    serving,
)

pytestmark = pytest.mark.anyio


async def test_calls_are_answered_whole_and_streamed_alike(tokenizer: TextTokenizer) -> None:
    said = f"<think>\n{SECOND}\n</think>\n\nI look.\n{CALL}\n{SECOND}"
    async with serving(tokenizer, said) as server:
        choice = await server.answer(tools=TOOLS)
        message = choice["message"]
        assert message["content"] == "I look."
        assert message["reasoning"] == SECOND, "a call inside thinking is none"
        functions = [call["function"] for call in message["tool_calls"]]
        assert functions == [
            {"name": "weather", "arguments": '{"city": "Paris"}'},
            {"name": "clock", "arguments": "{}"},
        ]
        assert len({call["id"] for call in message["tool_calls"]}) == 2
        assert choice["finish_reason"] == "tool_calls"
        streamed = await server.chat(tools=TOOLS, stream=True)
        delta = delta_of(streamed.chunks)
        assert (delta["content"], delta["reasoning"]) == ("I look.", SECOND)
        assert [
            {"name": call["name"], "arguments": call["arguments"]}
            for call in delta["tool_calls"].values()
        ] == functions
        assert delta["finish"] == "tool_calls"


async def test_first_piece_of_a_call_has_its_names(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, CALL) as server:
        chunks = (await server.chat(tools=TOOLS, stream=True, thinking_budget=0)).chunks
        cards = [
            card
            for chunk in chunks
            for choice in chunk["choices"]
            for card in choice["delta"].get("tool_calls", ())
        ]
        first, *rest = cards
        assert first.pop("id").startswith("call_")
        named = {"name": "weather", "arguments": ""}
        assert first == {"index": 0, "type": "function", "function": named}
        assert len(rest) > 3, "arguments come in pieces"
        assert all(set(card) == {"index", "function"} for card in rest)
        assert all(set(card["function"]) == {"arguments"} for card in rest)


async def test_a_malformed_call_is_text(tokenizer: TextTokenizer) -> None:
    for said in (CALL.replace("weather", "unknown"), CALL.replace('"Paris"', "Paris]")):
        async with serving(tokenizer, said) as server:
            choice = await server.answer(tools=TOOLS)
            assert choice["message"]["content"] == said
            assert "tool_calls" not in choice["message"]
            assert choice["finish_reason"] == "stop"
            streamed = delta_of((await server.chat(tools=TOOLS, stream=True)).chunks)
            assert streamed["content"] == said
            assert streamed["finish"] == "stop"


async def test_one_call_at_most(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, f"{CALL}\n{SECOND}") as server:
        choice = await server.answer(tools=TOOLS, parallel_tool_calls=False)
        assert len(choice["message"]["tool_calls"]) == 1
        assert choice["finish_reason"] == "tool_calls"


async def test_without_tools_marks_are_text(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, CALL) as server:
        bodies: list[dict[str, Any]] = [{}, {"tools": TOOLS, "tool_choice": "none"}, {"tools": []}]
        for body in bodies:
            choice = await server.answer(**body)
            assert choice["message"]["content"] == CALL
            assert choice["finish_reason"] == "stop"
            assert "# Tools" not in server.backend.prompt(-1)


@pytest.mark.parametrize("template", [OFF, PLAIN], ids=["knows tools", "knows none"])
async def test_tool_choice_is_held_by_a_form(tokenizer: TextTokenizer, template: str) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    forms = []
    bodies: list[dict[str, Any]] = [
        {"tool_choice": "required"},
        {"tool_choice": "required", "parallel_tool_calls": False},
        {"tool_choice": named},
    ]
    async with serving(tokenizer, CALL, template) as server:
        for body in bodies:
            choice = await server.answer(tools=TOOLS, **body)
            assert choice["finish_reason"] == "tool_calls"
            forms.append(server.backend.asks[-1].form)
            assert "# Tools" in server.backend.prompt(-1)
    none = {"type": "object", "properties": {}}
    both = (("weather", SCHEMA), ("clock", none))
    assert forms == [ToolCalls(both, True), ToolCalls(both, False),
                     ToolCalls((("weather", SCHEMA),), False)]  # fmt: skip


async def test_results_are_fed_back(tokenizer: TextTokenizer) -> None:
    function = {"name": "weather", "arguments": '{"city": "Paris"}'}
    calling = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "I must look",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    result = {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}
    async with serving(tokenizer, "It is 18.") as server:
        await server.chat(messages=[USER, calling, result], tools=TOOLS)
        prompt = server.backend.prompt(0)
        assert f"<think>\nI must look\n</think>\n\n{CALL}<|im_end|>" in prompt
        assert "user\n<tool_response>\n18 degrees\n</tool_response><|im_end|>" in prompt


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, JsonObject()),
        ({"response_format": {"type": "json_schema",
                              "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
         JsonSchema(SCHEMA)),
        ({"structured_outputs": {"json": SCHEMA}}, JsonSchema(SCHEMA)),
        ({"structured_outputs": {"regex": "[a-z]+"}}, Regex("[a-z]+")),
        ({"structured_outputs": {"choice": ["a", "b"]}}, OneOf(("a", "b"))),
    ],
)  # fmt: skip
async def test_forms(tokenizer: TextTokenizer, body: dict[str, Any], form: Any) -> None:
    async with serving(tokenizer, "x", PLAIN) as server:
        await server.answer(**body)
        assert server.backend.checked == ([] if form is None else [form])
        await server.post(TEXT, prompt="x", **body)
        assert [ask.form for ask in server.backend.asks] == [form, form]


async def test_a_form_that_cannot_be_held_is_refused_first(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "x") as server:
        server.backend.refused = InvalidRequest(
            "The schema uses %(part)s.", part="patternProperties"
        )
        error = await server.refusal(response_format={"type": "json_object"}, stream=True)
        assert error["param"] == "response_format"
        assert "patternProperties" in error["message"]


async def test_choices_run_side_by_side(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "<think>\nhm\n</think>\n\nHello.") as server:
        call = await server.chat(n=3, seed=5, max_tokens=50)
        choices = call.json["choices"]
        assert [choice["index"] for choice in choices] == [0, 1, 2]
        assert {choice["message"]["content"] for choice in choices} == {"Hello."}
        assert [ask.sampling.seed for ask in server.backend.asks] == [5, 6, 7]
        one = (await server.chat(max_tokens=50)).json["usage"]
        usage = call.json["usage"]
        assert usage["completion_tokens"] == 3 * one["completion_tokens"]
        assert usage["prompt_tokens"] == one["prompt_tokens"]
        assert usage["prompt_tokens_details"] == {"cached_tokens": 7}
        details = "completion_tokens_details"
        assert usage[details]["reasoning_tokens"] == 3 * one[details]["reasoning_tokens"] > 0
        streamed = await server.chat(n=3, stream=True, stream_options={"include_usage": True})
        *chunks, last = streamed.chunks
        for index in range(3):
            delta = delta_of(chunks, index)
            assert (delta["content"], delta["reasoning"]) == ("Hello.", "hm")
            assert delta["finish"] == "stop"
        assert last["usage"]["completion_tokens"] == usage["completion_tokens"]


async def test_more_choices_than_places_take_turns(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "Hello.", PLAIN) as server:
        calls = await asyncio.gather(*(server.chat(n=3) for _ in range(4)))
        texts = [c["message"]["content"] for call in calls for c in call.json["choices"]]
        assert texts == ["Hello."] * 12


@pytest.mark.parametrize("stream", [True, False])
async def test_hanging_up_ends_all_choices(tokenizer: TextTokenizer, stream: bool) -> None:
    async with serving(tokenizer, f"Hello{ScriptedBackend.PAUSE} there", PLAIN) as server:
        call = Call(server.app, CHAT, {"messages": [USER], "n": 2, "stream": stream})
        running = asyncio.ensure_future(call.run())
        await server.backend.paused.wait()
        call.hang_up()
        await running
        assert not server.backend.running
        server.backend.go_on()


async def test_a_failing_choice_ends_them_all(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, f"Hello{ScriptedBackend.PAUSE} there", PLAIN) as server:
        call = Call(server.app, CHAT, {"messages": [USER], "n": 2, "stream": True})
        running = asyncio.ensure_future(call.run())
        await server.backend.paused.wait()
        next(iter(server.backend.running)).fail("out of order")
        await running
        assert '"error": {"message": "out of order"' in call.text
        assert "[DONE]" not in call.text
        server.backend.go_on()


async def test_an_adapter_is_a_model(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "Hi", PLAIN, adapters=("poet",)) as server:
        assert (await server.chat(model="poet")).json["model"] == "poet"
        assert (await server.post(TEXT, prompt="x", model="poet")).json["model"] == "poet"
        assert (await server.chat(model="anything")).json["model"] == "scripted"
        assert [ask.adapter for ask in server.backend.asks] == ["poet", "poet", None]


async def test_an_answer_goes_on_within_its_own_turn(tokenizer: TextTokenizer) -> None:
    turns = [USER, {"role": "assistant", "content": "One, two,"}]
    async with serving(tokenizer, " three.") as server:
        choice = await server.answer(
            messages=turns, continue_final_message=True, add_generation_prompt=False
        )
        assert choice["message"]["content"].strip() == "three."
        assert "reasoning" not in choice["message"]
        prompt = server.backend.prompt(0)
        assert prompt.endswith("</think>\n\nOne, two,")
        assert prompt.count("assistant") == 1
