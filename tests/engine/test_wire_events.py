"""What servers stream, well-behaved and careless ones, as events of ours."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.domain import (
    ChoiceFinished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from appliance.engine.wire_events import Completed, WireReader
from appliance.errors import EngineFailed
from tests.scripted_answers import DONE, chunk, delta, end, pieces, sse

STOP = chunk({"delta": {}, "finish_reason": "stop"})


def read(*chunks: bytes, choices: int = 1) -> list[Any]:
    reader = WireReader(choices)
    return [event for data in chunks for event in reader.feed(data)] + [reader.end()]


def script(word: str, rest: str = "", **body: Any) -> list[bytes]:
    return [*pieces(word, rest, body), *end(word, rest, body)]


def test_bytes_may_be_cut_anywhere() -> None:
    whole = b"".join(script("text", "grüß dich"))
    expected = [TextDelta("grüß dich"), ChoiceFinished("stop"), Completed("stop", Usage(7, 1, 3))]
    assert read(whole) == expected
    assert read(*(whole[i : i + 1] for i in range(len(whole)))) == expected


def test_choices_are_told_apart() -> None:
    events = read(*script("say", "a", n=2), choices=2)
    assert events == [
        TextDelta("a ", 0),
        TextDelta("a ", 1),
        ChoiceFinished("stop", 0),
        ChoiceFinished("stop", 1),
        Completed("stop", Usage(7, 2, 3)),
    ]


def test_a_call_grows_and_is_named_once() -> None:
    assert read(*script("call", "weather {}"))[:4] == [
        ToolCallDelta(0, "call_1", "weather", ""),
        ToolCallDelta(0, arguments="{"),
        ToolCallDelta(0, arguments="}"),
        ChoiceFinished("tool_calls"),
    ]


def test_careless_calls_are_calls_all_the_same() -> None:
    """Whole in one piece, without index and type, arguments an object, "stop" at the end."""
    assert read(*script("calls"))[:3] == [
        ToolCallDelta(0, "id-one", "one", '{"of":"one"}'),
        ToolCallDelta(1, "id-two", "two", '{"of":"two"}'),
        ChoiceFinished("tool_calls"),
    ]


@pytest.mark.parametrize("ids", [("a", "b"), (None, None)])
def test_calls_that_share_an_index_are_two(ids: tuple[str | None, str | None]) -> None:
    calls = [{"index": 0, "id": i, "function": {"name": "f", "arguments": "{}"}} for i in ids]
    first, second, *_ = read(*(delta(tool_calls=[call]) for call in calls), STOP)
    assert (first.index, second.index) == (0, 1)
    assert first.id != second.id


def test_an_id_that_comes_with_every_piece_is_one_call() -> None:
    start = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    more = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}
    events = read(delta(tool_calls=[start]), delta(tool_calls=[more]), STOP)
    assert events[1] == ToolCallDelta(0, arguments="}")


@pytest.mark.parametrize("raw", [{}, {"prompt": "x"}])
def test_log_probabilities_in_both_forms(raw: dict[str, str]) -> None:
    event, *_ = read(*script("scored", "ä", **raw))
    top = TokenLogprob("ä ", -0.5, (0xC3, 0xA4, 0x20))
    assert event == TextDelta("ä ", 0, (TokenLogprob("ä ", -0.5, top.bytes, (top,)),))


def test_what_is_missing_without_harm_is_forgiven() -> None:
    """Null contents, no usage, no index, no [DONE]; comments and other line ends."""
    assert read(*script("bare", "x")) == [
        TextDelta("x"),
        ChoiceFinished("stop"),
        Completed("stop", Usage(0, 0)),
    ]


def test_thinking_is_counted() -> None:
    events = read(*script("think"))
    assert events[0] == ReasoningDelta("hm")
    assert events[-1].usage.reasoning_tokens == 1


@pytest.mark.parametrize("reason", ["length", "tool_calls", "stop", "content_filter"])
def test_reasons_to_finish_are_ours(reason: str) -> None:
    expected = reason if reason in ("length", "tool_calls") else "stop"
    assert read(chunk({"finish_reason": reason}))[0] == ChoiceFinished(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "payload",
    [
        "[]",
        "5",
        '{"choices": 7}',
        '{"choices": ["x"]}',
        '{"choices": [{"index": "one"}]}',
        '{"choices": [{"index": 3, "delta": {"content": "x"}}]}',
        '{"choices": [{"index": -1, "delta": {"content": "x"}}]}',
        '{"choices": [{"delta": "x"}]}',
        '{"choices": [{"delta": {"content": ["x"]}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {}}]}}]}',
        '{"choices": [{"delta": {"tool_calls": 5}}]}',
        '{"choices": [{"text": "x", "logprobs": {"content": [{"token": "x"}]}}]}',
        '{"usage": {"prompt_tokens": "many"}}',
        "<html>",
    ],
)
def test_garbage_is_a_failure_that_shows_it(payload: str) -> None:
    with pytest.raises(EngineFailed, match="not OpenAI's wire"):
        read(b"data: " + payload.encode() + b"\n\n")


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    reader = WireReader()
    endless = (event for _ in range(10) for event in reader.feed(b"x" * 1_000_000))
    with pytest.raises(EngineFailed, match="without an end"):
        list(endless)


def test_what_came_before_an_error_is_told_first() -> None:
    events = WireReader().feed(delta(content="so far") + sse({"error": "out of memory"}))
    assert next(events) == TextDelta("so far")
    with pytest.raises(EngineFailed, match="out of memory"):
        next(events)


def test_an_engine_that_does_not_know_n_is_caught() -> None:
    with pytest.raises(EngineFailed, match="1 of 2"):
        read(delta(content="x"), STOP, DONE, choices=2)


def test_nothing_after_the_end_counts() -> None:
    reader = WireReader()
    events = list(reader.feed(STOP + DONE + delta(content="late")))
    assert (events, reader.done) == ([ChoiceFinished("stop")], True)
