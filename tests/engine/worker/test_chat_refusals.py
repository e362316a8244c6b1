"""What the chat route refuses, by field, value and range, over a scripted model."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.engine.worker.sampling import SAMPLING_PARAMETERS
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.scripted import (
    CLOCK,
    PLAIN,
    TOOLS,
    USER,
    serving,
)

pytestmark = pytest.mark.anyio


async def test_logit_bias(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "Hi", PLAIN) as server:
        await server.chat(logit_bias={"7": -100, "5": 2.5})
        assert server.backend.asks[0].sampling.logit_bias == ((5, 2.5), (7, -100.0))


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "101, but must be at least -100"),
        ({"logit_bias": {"49152": 1}}, "logit_bias", "0 to 49151"),
        ({"logit_bias": {"word": 1}}, "logit_bias", "no token id"),
        ({"top_p": 1.5}, "top_p", "1.5, but must be above 0 and at most 1"),
        ({"temperature": -1}, "temperature", "-1, but must be at least 0 and at most 2"),
        ({"n": 5}, "n", "1 to 4"),
        ({"n": 17}, "n", "17, but must be at least 1 and at most 16"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at least 0 and at most 20"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"tool_choice": "required"}, "tool_choice", "Add tools"),
        ({"tools": [CLOCK, CLOCK]}, "tools", "two tools are called clock"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}},
         "tool_choice", "weather, clock"),
        ({"tools": TOOLS, "tool_choice": "perhaps"}, "tool_choice", "'required'"),
        ({"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}},
         "response_format", "another form"),
        ({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}},
         "structured_outputs", "both ask for a form"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs",
         "exactly one"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "'minimal'"),
        ({"thinking_budget": -1}, "thinking_budget", "at least 0"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0", "content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
         "messages.0.content.0.type", "'text'"),
        ({"messages": [USER | {"tool_calls": [
            {"id": "x", "function": {"name": "x", "arguments": "{}"}}]}]}, "messages.0",
         "only an assistant"),
        ({"continue_final_message": True}, None, "an assistant's turn at the end"),
        ({"add_generation_prompt": False}, None, "the opposite of continue_final_message"),
    ],
)  # fmt: skip
async def test_refusals_name_field_value_and_range(
    tokenizer: TextTokenizer, body: dict[str, Any], param: str | None, said: str
) -> None:
    async with serving(tokenizer, "x") as server:
        error = await server.refusal(**body)
        assert error["param"] == param
        assert said in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"structured_outputs": {"regex": "a"}}, "structured_outputs"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        ({"tools": [CLOCK, {"type": "function", "function": {"name": "x", "strict": True}}]},
         "tools.1.function.strict"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"thinking_token_budget": 5}, "thinking_token_budget"),
        ({"chat_template_kwargs": {"enable_thinking": True}},
         "chat_template_kwargs.enable_thinking"),
    ],
)  # fmt: skip
async def test_what_a_backend_or_model_lacks_is_refused_by_name(
    tokenizer: TextTokenizer, body: dict[str, Any], param: str
) -> None:
    async with serving(tokenizer, "x", PLAIN, capabilities=SAMPLING_PARAMETERS) as server:
        error = await server.refusal(**body)
        assert error["code"] == "unsupported_parameter"
        assert error["param"] == param


async def test_no_thinking_may_be_asked_of_a_model_that_has_none(
    tokenizer: TextTokenizer,
) -> None:
    async with serving(tokenizer, "x", PLAIN) as server:
        bodies: list[dict[str, Any]] = [{"reasoning_effort": "none"}, {"thinking_budget": 0}]
        for body in bodies:
            assert (await server.answer(**body))["message"]["content"] == "x"
