"""What vLLM would not do and would not say, found before it is asked; and late refusals."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from appliance.domain import Constraint, GenerationRequest, Message, NamedTool, Sampling, Tool
from appliance.engine.client import Accepted, EngineClient
from appliance.engine.config import EngineFacts
from appliance.engine.vllm_request import as_vllm_takes_it, fitted
from appliance.errors import ContextExceeded, InvalidRequest, UnsupportedParameter
from tests.scripted_engine import ANSWER_ID, ScriptedEngine

pytestmark = pytest.mark.anyio
TOOL = Tool("clock")
FACTS = EngineFacts(
    model="scripted",
    backend="vllm",
    engine_version="",
    precision="fp32",
    context_length=10,
    kv_tokens=100,
    max_concurrency=2,
    capabilities=(),
)


def asking(text: str = "hi", max_tokens: int | None = None, **fields: Any) -> GenerationRequest:
    sampling = Sampling(max_tokens=max_tokens, temperature=0)
    return GenerationRequest(prompt=(Message("user", text),), sampling=sampling, **fields)


def test_several_greedy_answers_are_asked_for_in_other_words() -> None:
    one, two = fitted(asking()).sampling, fitted(asking(choices=2)).sampling
    assert (one.temperature, one.top_k) == (0, None)
    assert (two.temperature, two.top_k) == (1.0, 1)


@pytest.mark.parametrize(
    ("choice", "strict"),
    [("auto", False), ("none", False), ("required", True), (NamedTool("clock"), True)],
)
def test_the_schemas_of_enforced_calls_hold(choice: Any, strict: bool) -> None:
    (tool,) = fitted(asking(tools=(TOOL,), tool_choice=choice)).tools
    assert tool.strict is strict


@pytest.mark.parametrize(
    ("fields", "param", "kind"),
    [
        ({"choices": 3}, "n", InvalidRequest),
        ({"enable_thinking": True}, "chat_template_kwargs.enable_thinking", UnsupportedParameter),
        ({"thinking_budget": 5}, "thinking_budget", UnsupportedParameter),
    ],
)
async def test_what_it_would_ignore_is_refused(
    client: EngineClient, engine: ScriptedEngine, fields: Any, param: str, kind: type[Exception]
) -> None:
    with pytest.raises(InvalidRequest) as found:
        await as_vllm_takes_it(client, engine.endpoint, asking(**fields), FACTS)
    assert type(found.value) is kind
    assert found.value.param == param


async def test_an_answer_that_would_be_cut_short_is_refused_with_the_numbers(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    await as_vllm_takes_it(client, engine.endpoint, asking(max_tokens=8), FACTS)
    with pytest.raises(ContextExceeded) as found:
        await as_vllm_takes_it(client, engine.endpoint, asking(max_tokens=9), FACTS)
    numbers = {"prompt_tokens": 2, "max_tokens": 9, "limit": 10}
    assert found.value.phrase.values == numbers
    assert "temperature" not in engine.bodies[-1]


async def test_a_form_that_is_refused_in_the_stream_still_has_a_status(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    form = Constraint("regex", "(", field="structured_outputs")
    with pytest.raises(InvalidRequest, match="Grammar error") as found:
        async with aclosing(
            client.stream(engine.endpoint, asking("late", constraint=form))
        ) as events:
            await anext(events)
    assert found.value.param == "structured_outputs"


async def test_a_form_that_is_held_is_accepted_with_its_first_words(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    form = Constraint("json_object")
    async with aclosing(client.stream(engine.endpoint, asking("say A", constraint=form))) as events:
        assert await anext(events) == Accepted(ANSWER_ID)
