from __future__ import annotations

from contextlib import aclosing

import pytest

from appliance.domain import (
    ChoiceFinished,
    GenerationRequest,
    Message,
    ReasoningDelta,
    Sampling,
    TextDelta,
    Usage,
)
from appliance.engine.client import Accepted, Completed, EngineClient, EngineEvent
from appliance.engine.config import Endpoint
from appliance.engine.posting import http_client
from appliance.errors import (
    ContextExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidRequest,
    NotFound,
)
from tests.live import free_port
from tests.scripted_engine import ANSWER_ID, ScriptedEngine

pytestmark = pytest.mark.anyio
ACCEPTED = Accepted(ANSWER_ID)


def asking(text: str, **sampling: object) -> GenerationRequest:
    return GenerationRequest(
        prompt=(Message("user", text),),
        sampling=Sampling(**sampling),  # type: ignore[arg-type]
    )


async def everything(
    client: EngineClient, endpoint: Endpoint, request: GenerationRequest
) -> list[EngineEvent]:
    async with aclosing(client.stream(endpoint, request)) as events:
        return [event async for event in events]


async def test_an_answer_is_accepted_then_text_then_the_end(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    events = await everything(client, engine.endpoint, asking("say one two"))
    assert events == [
        ACCEPTED,
        TextDelta("one "),
        TextDelta("two "),
        ChoiceFinished("stop"),
        Completed("stop", Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=3)),
    ]


async def test_thinking_is_not_text(client: EngineClient, engine: ScriptedEngine) -> None:
    events = await everything(client, engine.endpoint, asking("think"))
    assert events[1:3] == [ReasoningDelta("hm"), TextDelta("think ")]


async def test_a_raw_prompt_goes_to_completions(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    events = await everything(client, engine.endpoint, GenerationRequest(prompt="say raw"))
    assert TextDelta("raw ") in events
    assert engine.bodies[-1]["prompt"] == "say raw"


async def test_only_what_was_chosen_is_sent(client: EngineClient, engine: ScriptedEngine) -> None:
    request = asking("say x", temperature=0.0, stop=("END",), seed=0, top_k=5)
    await everything(client, engine.endpoint, request)
    body = engine.bodies[-1]
    sent = {k: v for k, v in body.items() if k not in ("messages", "model", "stream_options")}
    assert sent == {"stream": True, "temperature": 0.0, "stop": ["END"], "seed": 0, "top_k": 5}


@pytest.mark.parametrize("fault", ["die", "garbage", "silent", "error"])
async def test_what_breaks_after_the_start_is_a_failure_and_keeps_the_text(
    client: EngineClient, engine: ScriptedEngine, fault: str
) -> None:
    seen: list[EngineEvent] = []

    async def listen() -> None:
        async with aclosing(client.stream(engine.endpoint, asking(fault))) as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - a list made at once would be lost

    with pytest.raises(EngineFailed):
        await listen()
    assert seen == [ACCEPTED, TextDelta(fault + " ")]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (422, InvalidRequest),
        (429, EngineUnavailable),
        (503, EngineUnavailable),
        (500, EngineFailed),
    ],
)
async def test_the_status_decides_whose_fault_a_refusal_is(
    client: EngineClient, engine: ScriptedEngine, status: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"refused with {status}"):
        await everything(client, engine.endpoint, asking(f"refuse {status}"))


async def test_a_prompt_that_is_too_long_says_the_numbers(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    with pytest.raises(ContextExceeded, match=r"9000 tokens.*100.*8192") as caught:
        await everything(client, engine.endpoint, asking("long"))
    assert caught.value.phrase.values["limit"] == 8192


async def test_a_wrong_key_names_the_setting(client: EngineClient, engine: ScriptedEngine) -> None:
    endpoint = Endpoint(engine.url, "wrong", "scripted")
    with pytest.raises(EngineFailed, match="--engine-key"):
        await everything(client, endpoint, asking("say x"))


async def test_nobody_listening_is_unavailable(client: EngineClient) -> None:
    endpoint = Endpoint(f"http://127.0.0.1:{free_port()}/v1", None, "none")
    with pytest.raises(EngineUnavailable) as caught:
        await everything(client, endpoint, asking("say x"))
    assert caught.value.retry_after


async def test_closing_the_stream_cancels_the_work(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    engine.left.clear()
    async with aclosing(client.stream(engine.endpoint, asking("wait"))) as events:
        assert await anext(events) == ACCEPTED
        assert await anext(events) == TextDelta("wait ")
    assert engine.left.wait(5)


async def test_a_page_for_people_is_no_stream(client: EngineClient, engine: ScriptedEngine) -> None:
    with pytest.raises(EngineFailed, match="Welcome"):
        await everything(client, engine.endpoint, asking("page"))


async def test_two_choices_are_two(client: EngineClient, engine: ScriptedEngine) -> None:
    request = GenerationRequest(prompt=(Message("user", "say a"),), choices=2)
    events = await everything(client, engine.endpoint, request)
    assert {e.choice for e in events if isinstance(e, ChoiceFinished)} == {0, 1}
    assert engine.bodies[-1]["n"] == 2


async def test_thinking_is_ended_by_the_answers_id(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    await client.answer_now(engine.endpoint, "chat/1")
    assert engine.told == ["chat/1"]
    with pytest.raises(InvalidRequest, match="not thinking"):
        await client.answer_now(engine.endpoint, "text")
    with pytest.raises(NotFound):
        await client.answer_now(engine.endpoint, "gone")


async def test_what_stands_beside_v1_is_asked_there(
    client: EngineClient, engine: ScriptedEngine
) -> None:
    answer = await client.ask(engine.endpoint, "/tokenize", {"prompt": "hello"})
    assert answer["tokens"] == [1, 2]
    with pytest.raises(NotFound, match="/detokenize"):
        await client.ask(engine.endpoint, "/detokenize", {"tokens": [1]})


async def test_a_question_to_nobody_is_unavailable(client: EngineClient) -> None:
    nobody = Endpoint(f"http://127.0.0.1:{free_port()}/v1", None, "none")
    with pytest.raises(EngineUnavailable):
        await client.ask(nobody, "/tokenize", {"prompt": "hello"})


async def test_an_engine_that_falls_silent_is_given_up(engine: ScriptedEngine) -> None:
    async with http_client(silence_seconds=0.3) as http:
        seen = everything(EngineClient(http), engine.endpoint, asking("wait"))
        with pytest.raises(EngineFailed, match="silent"):
            await seen
