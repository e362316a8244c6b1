"""The turns of a chat as a template wants to see them: thinking, calls and results in their places.

Knows what a template can write by itself (`Habits`), and writes the rest in Hermes form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from appliance.domain import Message, Tool, ToolCall
from appliance.engine.worker.hermes import tools_section, written_call, written_response
from appliance.engine.worker.reasoning import CLOSE, OPEN

_THOUGHT = re.compile(rf"\s*{OPEN}(.*?){CLOSE}\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Habits:
    """What a template does by itself.

    `hermes`: tools, calls and results, in Hermes form. `reasoning`: it takes thinking apart from
    the answer and leaves out what is old. `text_arguments`: it wants a call's arguments as text.
    `thinking`: its model thinks in `<think>` marks.
    """

    hermes: bool
    reasoning: bool
    text_arguments: bool
    thinking: bool

    @classmethod
    def of(cls, source: str) -> Habits:
        return cls(
            # Some write `<function=…>` inside the same mark, which is another form.
            hermes=all(word in source for word in ("tools", "<tool_call>", "<tool_response>"))
            and "<function=" not in source,
            reasoning="reasoning_content" in source,
            text_arguments="arguments is string" in source,
            thinking=CLOSE in source or "enable_thinking" in source,
        )


def turns(
    messages: Sequence[Message], tools: Sequence[Tool], habits: Habits
) -> list[dict[str, Any]]:
    """The template's `messages`. With `tools` a system turn in front tells of them if need be."""
    asked = max((at for at, m in enumerate(messages) if m.role == "user"), default=-1)
    seen = [_thinking(m, at > asked, habits) for at, m in enumerate(messages)]
    if habits.hermes:
        return [_native(m, habits) for m in seen]
    return [_native(m, habits) for m in _plain(seen, tools)]


def _thinking(message: Message, unfinished: bool, habits: Habits) -> Message:
    """Thinking apart from content; the old is gone, unless the template wants to see to that."""
    if message.role != "assistant":
        return message
    if message.reasoning is None and (thought := _THOUGHT.match(message.content)):
        content = message.content[thought.end() :]
        message = replace(message, reasoning=thought[1].strip("\n"), content=content)
    if message.reasoning is None or habits.reasoning:
        return message
    if unfinished and habits.thinking:
        content = f"{OPEN}\n{message.reasoning}\n{CLOSE}\n\n{message.content}"
        return replace(message, reasoning=None, content=content)
    return replace(message, reasoning=None)


def _native(message: Message, habits: Habits) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = [_call_card(call, habits) for call in message.tool_calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _call_card(call: ToolCall, habits: Habits) -> dict[str, Any]:
    arguments: Any = call.arguments
    if not habits.text_arguments:
        arguments = json.loads(call.arguments)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _plain(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """Nothing but system, user and assistant turns with text."""
    plain: list[Message] = []
    for is_result, group in groupby(messages, lambda m: m.role == "tool"):
        if is_result:
            results = "\n".join(written_response(m.content) for m in group)
            plain.append(Message("user", results))
        else:
            plain += [_with_calls(m) for m in group]
    if not tools:
        return plain
    section = tools_section(tools)
    if plain and plain[0].role == "system":
        first = f"{plain[0].content}\n\n{section}"
        return [Message("system", first), *plain[1:]]
    return [Message("system", section), *plain]


def _with_calls(message: Message) -> Message:
    if not message.tool_calls:
        return message
    calls = [written_call(call) for call in message.tool_calls]
    gap = "\n" if message.content and not message.content.endswith("\n") else ""
    return replace(message, content=message.content + gap + "\n".join(calls), tool_calls=())
