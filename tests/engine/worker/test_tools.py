"""Tool calls are told from text at every cut, and nothing that is no call is lost."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.worker.tools import CallPiece, ToolCallParser
from appliance.engine.worker.wire_chat import whole_calls

PARIS = '{"city": "Paris \\"}\\" </tool_call> {", "days": [1, {"a": null}]}'
ONE = f'<tool_call>\n{{"name": "weather", "arguments": {PARIS}}}\n</tool_call>'
TWO = '<tool_call>{"name":"clock","arguments":{}}</tool_call>'


def read(pieces: list[str], *, many: bool = True) -> tuple[str, list[tuple[str, str]], int]:
    """Text, calls as a whole answer shows them, and how many were complete."""
    parser = ToolCallParser(["weather", "clock"], many=many)
    text, calls = "", list[CallPiece]()
    for found in [*map(parser.feed, pieces), parser.flush()]:
        text += found.text
        calls += found.calls
    cards = [card["function"] for card in whole_calls(tuple(calls))]
    return text, [(card["name"], card["arguments"]) for card in cards], parser.complete


def cuts(text: str) -> list[list[str]]:
    return [[text], list(text), *([text[:at], text[at:]] for at in range(len(text)))]


@pytest.mark.parametrize(
    ("said", "text", "calls"),
    [
        (ONE, "", [("weather", PARIS)]),
        (f"Let me look.\n\n{ONE}\n", "Let me look.", [("weather", PARIS)]),
        (f"{ONE}\n{TWO}", "", [("weather", PARIS), ("clock", "{}")]),
        (f"{TWO}\nand then", "and then", [("clock", "{}")]),
        # in another order, without arguments, arguments as text, without the closing mark
        ('<tool_call>{"arguments": {"a": 1}, "name": "clock"}</tool_call>', "",
         [("clock", '{"a": 1}')]),
        ('<tool_call>{"name": "clock"}</tool_call>', "", [("clock", "{}")]),
        ('<tool_call>{"name": "clock", "arguments": "{\\"a\\": 1}"}</tool_call>', "",
         [("clock", '{"a": 1}')]),
        ('<tool_call>\n{"name": "clock", "arguments": {"a": 1}}', "", [("clock", '{"a": 1}')]),
    ],
)  # fmt: skip
def test_calls_are_found(said: str, text: str, calls: list[tuple[str, str]]) -> None:
    for pieces in cuts(said):
        assert read(pieces) == (text, calls, len(calls)), pieces


@pytest.mark.parametrize(
    "said",
    [
        "no call at all < here <tool> ",
        '<tool_call>\n{"name": "unknown", "arguments": {"a": 1}}\n</tool_call>',
        "<tool_call>\nweather(Paris)\n</tool_call>",
        '<tool_call>\n{"name": "weather", "arguments": [1]}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {"a": }}\n</tool_call> so',
        '<tool_call>\n{"name": "weather", "arguments": {"a": "b}}\n</tool_call> so',
        '<tool_call>\n{"name": "weather", "arguments": {"a": 1]}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {"a": 1}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {"a": 1}, "more": 2}\n</tool_call>',
        '<tool_call>\n{"name": "wea',
        "<tool_call>",
        "<tool_ca",
        " \n ",
    ],
)
def test_what_is_no_call_is_text(said: str) -> None:
    for pieces in cuts(said):
        assert read(pieces) == (said, [], 0), pieces


def test_a_call_that_is_cut_off_keeps_what_was_sent() -> None:
    said = ONE[: ONE.index("days")]
    for pieces in cuts(said):
        text, calls, complete = read(pieces)
        assert (text, complete) == ("", 0)
        assert calls == [("weather", said[said.index('{"city') :])]


def test_arguments_are_streamed_as_they_come() -> None:
    parser = ToolCallParser(["weather"])
    assert parser.feed('<tool_call>\n{"name": "weather", "arguments": ').calls == ()
    begun = parser.feed('{"city"').calls
    assert begun[0].name == "weather"
    assert begun[0].id is not None
    assert begun[1] == CallPiece(0, arguments='{"city"')
    assert parser.feed(': "Pa').calls == (CallPiece(0, arguments=': "Pa'),)
    assert parser.feed('ris"}').calls == (CallPiece(0, arguments='ris"}'),)
    assert parser.inside
    assert parser.feed("}\n</tool_call>").calls == ()
    assert parser.complete == 1


def test_a_broken_call_is_called_off_before_its_text() -> None:
    parser = ToolCallParser(["weather"])
    parser.feed('<tool_call>{"name": "weather", "arguments": {"a": ')
    found = parser.feed("}} and")
    assert found.calls[-1] == CallPiece(0, broken=True)
    assert found.text + parser.flush().text == (
        '<tool_call>{"name": "weather", "arguments": {"a": }} and'
    )


def test_only_one_call_when_only_one_is_wanted() -> None:
    for pieces in cuts(f"{ONE}\n{TWO} more"):
        text, calls, complete = read(pieces, many=False)
        assert (text, calls, complete) == ("", [("weather", PARIS)], 1)


@given(
    arguments=st.dictionaries(
        st.text(max_size=3), st.text(max_size=9) | st.lists(st.integers(), max_size=3), max_size=3
    ),
    at=st.lists(st.integers(0, 200), max_size=5),
)
def test_any_arguments_survive_any_cut(arguments: dict[str, object], at: list[int]) -> None:
    written = json.dumps(arguments, ensure_ascii=False)
    said = f'<tool_call>\n{{"name": "weather", "arguments": {written}}}\n</tool_call>'
    places = [0, *sorted(min(cut, len(said)) for cut in at), len(said)]
    pieces = [said[a:b] for a, b in pairwise(places)]
    assert read(pieces) == ("", [("weather", written)], 1)
