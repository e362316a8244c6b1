"""Answers made of several streams: thinking cut short, forms that begin to hold, strict calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer

from appliance.engine.worker.backends.base import Ask
from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.forms import JsonObject, OneOf, ToolCalls
from appliance.engine.worker.sampling import NEUTRAL, TokenSampling
from appliance.engine.worker.thinking import CLOSING
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.scripted import CHAT, Call, ScriptedBackend, delta_of, serving

pytestmark = pytest.mark.anyio
THOUGHT = "one two three four five six seven eight nine ten"
THINKING = f"<think>\n{THOUGHT}\n</think>\n\n"
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}}}},
}
STRICT = {"type": "function", "function": TOOL["function"] | {"strict": True}}  # type: ignore[operator]
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
OBJECT: dict[str, Any] = {"response_format": {"type": "json_object"}}


@pytest.fixture(scope="module", params=["marks are words", "marks are tokens"])
def tokenizer(request: pytest.FixtureRequest, demo_folder: ModelFolder) -> TextTokenizer:
    """Qwen's marks are tokens of their own; other models spell them."""
    library = Tokenizer.from_file(str(demo_folder.path / "tokenizer.json"))
    if request.param == "marks are tokens":
        marks = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
        library.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    return TextTokenizer(library)


@pytest.fixture(params=[False, True], ids=["singly", "piled"])
def piled(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def formed(text: str, form: str) -> Any:
    """A script: `text` from a free model, `form` from one that is held to a form."""
    return lambda ask: text if ask.form is None else form


async def test_thinking_ends_at_its_budget(tokenizer: TextTokenizer, piled: bool) -> None:
    def script(ask: Ask) -> str:
        said = tokenizer.decode(ask.prompt)
        return "The answer." if said.endswith(CLOSING) else THINKING + "never"

    async with serving(tokenizer, script, piled=piled) as server:
        call = await server.chat(thinking_budget=5, max_tokens=200)
        message = call.json["choices"][0]["message"]
        assert message["content"] == "The answer."
        thought, closing = message["reasoning"].split("\n\n")
        assert THOUGHT.startswith(thought)
        assert closing == CLOSING.split("\n")[2]
        usage = call.json["usage"]
        forced = len(tokenizer.encode(CLOSING, add_special_tokens=False))
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 5 + forced
        answer = len(tokenizer.encode("The answer.", add_special_tokens=False)) + 1
        assert usage["completion_tokens"] >= 5 + forced + answer
        first, second = server.backend.asks
        assert second.prompt[: len(first.prompt)] == first.prompt
        assert first.max_tokens == 200
        assert second.max_tokens == 200 - (len(second.prompt) - len(first.prompt))


async def test_a_budget_that_is_not_used_up_changes_nothing(
    tokenizer: TextTokenizer, piled: bool
) -> None:
    async with serving(tokenizer, THINKING + "Hello there.", piled=piled) as server:
        choice = await server.answer(thinking_budget=500)
        assert choice["message"]["reasoning"] == THOUGHT
        assert choice["message"]["content"] == "Hello there."
        assert len(server.backend.asks) == 1


async def test_no_budget_is_no_thinking(tokenizer: TextTokenizer) -> None:
    for body in (
        {"thinking_budget": 0},
        {"reasoning_effort": "none"},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"messages": [{"role": "user", "content": "Hi /no_think"}]},
    ):
        async with serving(tokenizer, "Hello.") as server:
            choice = await server.answer(**body)
            assert "reasoning" not in choice["message"]
            assert server.backend.prompt(0).endswith("<think>\n\n</think>\n\n"), body


@pytest.mark.parametrize(
    ("effort", "budget"), [("minimal", 512), ("low", 1024), ("medium", 4096), ("high", None)]
)
async def test_efforts_are_budgets(
    tokenizer: TextTokenizer, effort: str, budget: int | None
) -> None:
    ends = "<think>\n" + "a b c " * 1000
    async with serving(tokenizer, ends) as server:
        call = await server.chat(reasoning_effort=effort, max_tokens=1200)
        cut = budget is not None and budget < 1200
        assert len(server.backend.asks) == (2 if cut else 1)
        if cut:
            assert call.json["choices"][0]["message"]["reasoning"].count("limited time") >= 1


async def test_numbers_win_over_effort(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, THINKING + "x") as server:
        await server.chat(reasoning_effort="high", thinking_token_budget=3)
        assert len(server.backend.asks) == 2


async def test_a_budget_without_room_for_an_answer_is_left_alone(
    tokenizer: TextTokenizer,
) -> None:
    async with serving(tokenizer, THINKING + "x") as server:
        choice = await server.answer(thinking_budget=5, max_tokens=8)
        assert choice["finish_reason"] == "length"
        assert len(server.backend.asks) == 1


async def test_answer_now(tokenizer: TextTokenizer) -> None:
    def script(ask: Ask) -> str:
        if tokenizer.decode(ask.prompt).endswith(CLOSING):
            return "At once." + ScriptedBackend.PAUSE + " Done."
        return f"<think>\n{THOUGHT}{ScriptedBackend.PAUSE} and {THOUGHT}"

    async with serving(tokenizer, script) as server:
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        call = Call(server.app, CHAT, body)
        running = asyncio.ensure_future(call.run())
        backend = server.backend
        await backend.paused.wait()
        backend.paused.clear()
        now = f"{CHAT}/{call.id}/answer_now"
        assert (await server.post(now)).status == 204
        backend.go_on()
        await running
        assert (await server.post(now)).status == 404
        answer = delta_of(call.chunks)
        assert answer["content"] == "At once. Done."
        assert answer["reasoning"].startswith(THOUGHT)
        assert "limited time" in answer["reasoning"]


async def test_answer_now_while_nothing_is_thought(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, f"Hello{ScriptedBackend.PAUSE} there") as server:
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        call = Call(server.app, CHAT, body)
        running = asyncio.ensure_future(call.run())
        await server.backend.paused.wait()
        refused = await server.post(f"{CHAT}/{call.id}/answer_now")
        assert refused.status == 409
        assert refused.json["error"]["code"] == "not_thinking"
        server.backend.go_on()
        await running
        assert (await server.post(f"{CHAT}/unknown/answer_now")).status == 404


@pytest.mark.parametrize("said", [THINKING, f"<think>\n{THOUGHT}</think>", THINKING + '{"no": 1}'])
async def test_a_form_begins_to_hold_after_the_thinking(
    tokenizer: TextTokenizer, piled: bool, said: str
) -> None:
    async with serving(tokenizer, formed(said, '{"a": 1}'), piled=piled) as server:
        choice = await server.answer(**OBJECT)
        assert choice["message"]["content"] == '{"a": 1}'
        assert choice["message"]["reasoning"] == THOUGHT
        assert [ask.form for ask in server.backend.asks] == [None, JsonObject()]
        assert server.backend.prompt(1).endswith(f"{THOUGHT}\n</think>\n\n") or (
            server.backend.prompt(1).endswith(f"{THOUGHT}</think>\n\n")
        )


async def test_a_form_holds_although_the_model_did_not_think(
    tokenizer: TextTokenizer, piled: bool
) -> None:
    for said in ("No thinking here", "", " \n"):
        async with serving(tokenizer, formed(said, '{"a": 1}'), piled=piled) as server:
            choice = await server.answer(**OBJECT)
            assert choice["message"]["content"] == '{"a": 1}'
            assert server.backend.asks[1].prompt == server.backend.asks[0].prompt


async def test_a_form_holds_although_the_model_ended_in_its_thinking(
    tokenizer: TextTokenizer, piled: bool
) -> None:
    async with serving(tokenizer, formed("<think>\nwell", '{"a": 1}'), piled=piled) as server:
        choice = await server.answer(**OBJECT)
        assert choice["message"]["content"] == '{"a": 1}'
        assert server.backend.prompt(1).endswith("well" + CLOSING)


async def test_a_form_holds_at_once_without_thinking(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, formed("no", "blue")) as server:
        either = {"choice": ["red", "blue"]}
        choice = await server.answer(reasoning_effort="none", structured_outputs=either)
        assert choice["message"]["content"] == "blue"
        assert [ask.form for ask in server.backend.asks] == [OneOf(("red", "blue"))]


async def test_a_budget_and_a_form(tokenizer: TextTokenizer, piled: bool) -> None:
    async with serving(tokenizer, formed(THINKING, '{"a": 1}'), piled=piled) as server:
        choice = await server.answer(thinking_budget=4, **OBJECT)
        assert choice["message"]["content"] == '{"a": 1}'
        assert server.backend.prompt(1).endswith(CLOSING)


async def test_required_calls_follow_the_thinking(tokenizer: TextTokenizer, piled: bool) -> None:
    async with serving(tokenizer, formed(THINKING + "no", CALL), piled=piled) as server:
        choice = await server.answer(tools=[TOOL], tool_choice="required")
        assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
        assert choice["message"]["reasoning"] == THOUGHT
        assert choice["message"]["content"] is None
        assert choice["finish_reason"] == "tool_calls"
        form = server.backend.asks[1].form
        assert isinstance(form, ToolCalls)
        assert form.many


@pytest.mark.parametrize("before", ["", THINKING, "Let me see.\n\n"])
async def test_strict_arguments_are_held_to_their_schema(
    tokenizer: TextTokenizer, piled: bool, before: str
) -> None:
    loose = before + '<tool_call>\n{"name": "add", "arguments": {"wrong": 1}}\n</tool_call>'
    async with serving(tokenizer, formed(loose, CALL), piled=piled) as server:
        choice = await server.answer(tools=[STRICT])
        calls = choice["message"]["tool_calls"]
        assert [call["function"]["arguments"] for call in calls] == ['{"a": 1}']
        assert choice["message"]["content"] == ("Let me see." if "Let" in before else None)
        assert isinstance(server.backend.asks[1].form, ToolCalls)
        assert server.backend.prompt(1).rstrip().endswith(before.rstrip() or "assistant")


@pytest.mark.parametrize("before", ["", THINKING])
async def test_a_form_or_a_call(tokenizer: TextTokenizer, piled: bool, before: str) -> None:
    """With tools on offer the model may call one; what is no call has the form."""
    async with serving(tokenizer, formed(before + CALL, "wrong"), piled=piled) as server:
        choice = await server.answer(tools=[TOOL], **OBJECT)
        assert choice["finish_reason"] == "tool_calls"
        assert len(server.backend.asks) == 1
    script = formed(before + "Sure, here", '{"b": 2}')
    async with serving(tokenizer, script, piled=piled) as server:
        choice = await server.answer(tools=[TOOL], **OBJECT)
        assert choice["message"]["content"] == '{"b": 2}'
        assert choice["finish_reason"] == "stop"
        assert "Sure" not in server.backend.prompt(1)


async def test_sampling_follows_the_thinking(tokenizer: TextTokenizer) -> None:
    thinking = TokenSampling(temperature=0.6, top_p=0.95, top_k=20)
    async with serving(tokenizer, "Hi", thinking_defaults=thinking) as server:
        await server.chat()
        await server.chat(reasoning_effort="none")
        await server.chat(temperature=0.1)
        await server.post("/v1/completions", prompt="x")
        first, off, asked, raw = (ask.sampling for ask in server.backend.asks)
        assert first == thinking
        assert off == raw == NEUTRAL
        assert (asked.temperature, asked.top_k) == (0.1, 20)


async def test_each_segment_and_choice_draws_its_own_numbers(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, THINKING + "x") as server:
        await server.chat(thinking_budget=3, seed=2**63 - 1, n=2)
        seeds = [ask.sampling.seed for ask in server.backend.asks]
        assert len(set(seeds)) == 4
        assert all(seed is not None and -(2**63) <= seed < 2**63 for seed in seeds)
        assert 2**63 - 1 in seeds
