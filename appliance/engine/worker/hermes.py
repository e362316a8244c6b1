"""The Hermes form of tools in a prompt, for models whose own template does not write it.

The wording is the one that Qwen3 and others were trained on. Knows no template and no parser.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from appliance.domain import Tool, ToolCall

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
_BEFORE = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
"""
_AFTER = """
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


def tool_card(tool: Tool) -> dict[str, Any]:
    """OpenAI's object for a tool, which is also what templates expect."""
    card: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        card["description"] = tool.description
    card["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": card}


def tools_section(tools: Sequence[Tool]) -> str:
    """What a system turn says of the tools."""
    cards = "\n".join(json.dumps(tool_card(tool), ensure_ascii=False) for tool in tools)
    return _BEFORE + cards + _AFTER


def written_call(call: ToolCall) -> str:
    """A call of an earlier turn, as the model wrote it."""
    name = json.dumps(call.name, ensure_ascii=False)
    return f'{CALL_OPEN}\n{{"name": {name}, "arguments": {call.arguments}}}\n{CALL_CLOSE}'


def written_response(result: str) -> str:
    return f"<tool_response>\n{result}\n</tool_response>"
