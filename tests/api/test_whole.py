"""Calls put together for callers that do not stream."""

from __future__ import annotations

import pytest

from appliance.api.whole import WholeChoice
from appliance.domain import TextDelta, ToolCallDelta


@pytest.mark.parametrize(
    ("arguments", "text", "called"),
    [
        ('{"city": "Rome"}', "", True),
        ('{"city": "Rome"}', 'As {"city": "Rome"} says', True),
        ('{"city": Rome', '<tool_call>{"name": "w", "arguments": {"city": Rome}', False),
        ('{"city": "Ro', "", True),  # cut by max_tokens: what there is, is all there is
        ("", "", True),  # a server that leaves empty arguments out
    ],
    ids=["whole", "quoted", "broken off and said again", "cut short", "without arguments"],
)
def test_a_call_that_broke_off_is_none(arguments: str, text: str, called: bool) -> None:
    choice = WholeChoice()
    choice.take(ToolCallDelta(0, "call_1", "w", arguments))
    choice.take(TextDelta(text))
    assert [call.arguments for call in choice.tool_calls] == ([arguments] if called else [])
    assert choice.text == text
