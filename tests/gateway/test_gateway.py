"""The way of a request, on a scripted engine and a real ledger."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Constraint,
    Finished,
    Message,
    NamedTool,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from appliance.errors import (
    EngineFailed,
    EngineUnavailable,
    InvalidRequest,
    NotFound,
    QueueFull,
    RateLimited,
)
from appliance.gateway.limits import RateLimits
from tests.gateway.house import ANNA, BEN, House
from tests.scripted_engine import ANSWER_ID, ScriptedEngine
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def test_an_answer_and_its_row(house: House) -> None:
    first, *deltas, last = await house.ask("say one two")
    assert isinstance(first, Admitted)
    assert first.cached_from is None
    assert deltas == [TextDelta("one "), TextDelta("two "), ChoiceFinished("stop")]
    assert isinstance(last, Finished)
    (row,) = await house.rows()
    assert row.id == first.generation_id
    assert (row.model, row.engine) == ("scripted", "remote")
    assert row.input == [{"role": "user", "content": "say one two"}]
    assert row.parameters == {"temperature": 0.5}
    assert (row.output, row.finish_reason, row.error) == ("one two ", "stop", None)
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 3, 2)
    assert row.queue_ms is not None
    assert row.ttft_ms is not None
    assert row.duration_ms is not None
    assert 0 <= row.queue_ms <= row.ttft_ms <= row.duration_ms


async def test_a_refusal_by_the_engine_comes_before_the_first_event_and_has_a_row(
    house: House,
) -> None:
    with pytest.raises(InvalidRequest):
        await anext(house.run("refuse 400"))
    (row,) = await house.rows()
    assert (row.finish_reason, row.error) == ("error", "refused with 400")


async def test_a_break_in_the_middle_keeps_what_was_said(house: House) -> None:
    with pytest.raises(EngineFailed):
        await house.ask("die")
    (row,) = await house.rows()
    assert (row.output, row.finish_reason) == ("die ", "error")
    assert "stopped in the middle" in str(row.error)


async def test_closing_cancels_the_engine_frees_the_place_and_keeps_the_text(
    house: House, script: ScriptedEngine
) -> None:
    script.left.clear()
    async with aclosing(house.run("wait")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert script.left.wait(5)
    assert house.queue.running == 0
    (row,) = await house.rows()
    assert (row.output, row.finish_reason, row.error) == ("wait ", "cancelled", None)


async def test_a_cancelled_task_is_a_cancelled_generation(
    house: House, script: ScriptedEngine
) -> None:
    script.started.clear()
    task = asyncio.create_task(house.ask("wait"))
    await until(script.started.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (row,) = await house.rows()
    assert row.finish_reason == "cancelled"
    assert house.queue.running == 0


async def test_waiting_is_measured_and_beyond_the_queue_is_refused_with_a_row(
    house: House, script: ScriptedEngine
) -> None:
    script.release.clear()
    script.started.clear()
    running = asyncio.create_task(house.ask("wait"))
    await until(script.started.is_set)
    waiting = asyncio.create_task(house.ask("say later"))
    await until(lambda: house.queue.waiting)
    with pytest.raises(QueueFull):
        await anext(house.run("say never"))
    script.release.set()
    await asyncio.gather(running, waiting)
    script.release.clear()
    first, later, never = await house.rows()
    assert (later.queue_ms or 0) > (first.queue_ms or 0)
    assert "already waiting" in str(never.error)


async def test_a_used_up_limit_never_reaches_the_engine(
    house: House, script: ScriptedEngine
) -> None:
    house.with_parts(limits=RateLimits("1/minute"))
    await house.ask("say one")
    before = len(script.bodies)
    with pytest.raises(RateLimited):
        await anext(house.run("say two"))
    assert len(script.bodies) == before
    assert [row.finish_reason for row in await house.rows()] == ["stop", "error"]


async def test_an_engine_that_is_not_there_refuses_and_has_a_row(house: House) -> None:
    await house.engine.stop()
    with pytest.raises(EngineUnavailable):
        await anext(house.run("say x"))
    (row,) = await house.rows()
    assert row.finish_reason == "error"


async def test_metadata_only_keeps_the_numbers_and_no_word(house: House) -> None:
    house.with_parts(log_content="metadata")
    await house.ask("say secret")
    (row,) = await house.rows()
    assert "secret" not in f"{row.input}{row.output}{row.reasoning}"
    assert row.completion_tokens == 1


async def test_several_choices_are_written_down_side_by_side(house: House) -> None:
    events = await house.ask("say one two", choices=2)
    assert events.count(ChoiceFinished("stop", 1)) == 1
    (row,) = await house.rows()
    assert row.output == '["one two ", "one two "]'
    assert (row.parameters["n"], row.completion_tokens) == (2, 4)


async def test_a_tool_call_passes_and_is_written_down(house: House) -> None:
    tool = Tool("look_up", "Looks a word up.", {"type": "object"})
    events = await house.ask('call look_up {"word": "账本"}', tools=(tool,), tool_choice="required")
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    assert (pieces[0].name, "".join(p.arguments for p in pieces)) == ("look_up", '{"word": "账本"}')
    (row,) = await house.rows()
    assert row.tool_calls == [{"id": "call_1", "name": "look_up", "arguments": '{"word": "账本"}'}]
    assert (row.output, row.finish_reason) == ("", "tool_calls")
    assert row.parameters["tools"] == ["look_up"]
    assert row.parameters["tool_choice"] == "required"


async def test_scores_pass(house: House) -> None:
    events = await house.ask("scored one", top_logprobs=1)
    (scored,) = [event for event in events if isinstance(event, TextDelta)]
    assert [(entry.text, len(entry.top)) for entry in scored.logprobs] == [("one ", 1)]


async def test_thinking_is_counted_and_kept_apart(house: House) -> None:
    events = await house.ask("think", thinking_budget=64, enable_thinking=True)
    assert ReasoningDelta("hm") in events
    (row,) = await house.rows()
    assert (row.reasoning, row.output, row.reasoning_tokens) == ("hm", "think ", 1)
    assert row.parameters["thinking_budget"] == 64


async def test_what_was_asked_is_written_down_with_its_calls(house: House) -> None:
    prompt = (
        Message("assistant", "", "It is a word.", (ToolCall("call_1", "look_up", "{}"),)),
        Message("tool", "say found", tool_call_id="call_1"),
    )
    form = Constraint("json_schema", {"type": "object"})
    await house.ask("", prompt=prompt, constraint=form, tool_choice=NamedTool("look_up"))
    (row,) = await house.rows()
    assert row.input == [
        {
            "role": "assistant",
            "content": "",
            "reasoning": "It is a word.",
            "tool_calls": [{"id": "call_1", "name": "look_up", "arguments": "{}"}],
        },
        {"role": "tool", "content": "say found", "tool_call_id": "call_1"},
    ]
    assert row.parameters == {"temperature": 0.5, "constraint": "json_schema"}


async def test_only_the_callers_own_running_answer_can_be_hurried(
    house: House, script: ScriptedEngine
) -> None:
    script.told.clear()
    async with aclosing(house.run("wait")) as events:
        first = await anext(events)
        assert isinstance(first, Admitted)
        with pytest.raises(NotFound):
            await house.gateway.answer_now(first.generation_id, BEN)
        assert script.told == []
        await house.gateway.answer_now(first.generation_id, ANNA)
        assert script.told == [ANSWER_ID]
    with pytest.raises(NotFound):
        await house.gateway.answer_now(first.generation_id, ANNA)
    assert len(script.told) == 1
