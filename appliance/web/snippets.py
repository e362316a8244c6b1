"""A recorded request as a program that asks the same: for a shell, in Python, in JavaScript.

The key is read from the environment variable APPLIANCE_KEY; no secret stands in the text.
"""

from __future__ import annotations

import json
import pprint
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.engine.wire_body import form_fields, tool_fields
from appliance.gateway.account import read_token_ids
from appliance.gateway.terms import read_form, read_tool_choice, read_tools
from appliance.ledger.tables import GenerationRecord

PLAIN = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "logit_bias", "stop", "n", "thinking_budget", "echo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snippet:
    """One program. `id` is also its place on the page."""

    id: str
    name: str
    text: str


def snippets(record: GenerationRecord, base_url: str) -> tuple[Snippet, ...]:
    """The three programs; none where the texts were not kept. `base_url` has no slash at the end.

    Tools and forms of rows from before they were kept are left out.
    """
    if not record.input:
        return ()
    raw = isinstance(record.input, str)
    url = f"{base_url}/v1/{'completions' if raw else 'chat/completions'}"
    asked = body(record)
    written = ((_curl, "curl"), (_python, "Python"), (_javascript, "JavaScript"))
    return tuple(Snippet(name.lower(), name, write(url, asked)) for write, name in written)


def body(record: GenerationRecord) -> dict[str, Any]:
    """The request in OpenAI's words."""
    kept = record.parameters
    asked: dict[str, Any] = {"model": kept.get("adapter", "auto")}
    if isinstance(record.input, str):
        asked["prompt"] = list(read_token_ids(record)) or record.input
    else:
        asked["messages"] = messages(record.input)
    asked |= {name: kept[name] for name in PLAIN if name in kept}
    if record.seed is not None:
        asked["seed"] = record.seed
    if "enable_thinking" in kept and "messages" in asked:
        asked["chat_template_kwargs"] = {"enable_thinking": kept["enable_thinking"]}
    if "prompt" in asked:
        asked.pop("thinking_budget", None)
    return asked | tools_of(record) | form_fields(read_form(record))


def tools_of(record: GenerationRecord) -> dict[str, Any]:
    """`tools`, and what belongs to them; nothing where none were offered or kept."""
    parallel = record.parameters.get("parallel_tool_calls", True)
    return tool_fields(read_tools(record), read_tool_choice(record), parallel)


def messages(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recorded turns as OpenAI writes them; thinking is left out, as every client does."""
    return [_message(turn) for turn in turns]


def _message(turn: dict[str, Any]) -> dict[str, Any]:
    kept = ("role", "content", "tool_call_id")
    written: dict[str, Any] = {name: turn[name] for name in kept if name in turn}
    if calls := turn.get("tool_calls"):
        written["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls
        ]
    return written


def _curl(url: str, asked: dict[str, Any]) -> str:
    written = json.dumps(asked, ensure_ascii=False, indent=2)
    return (
        f"curl {shlex.quote(url)} \\\n"
        '  -H "Authorization: Bearer $APPLIANCE_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(written)}"
    )


def _python(url: str, asked: dict[str, Any]) -> str:
    return f"""import json
import os
import urllib.request

body = {pprint.pformat(asked, width=88, sort_dicts=False)}
request = urllib.request.Request(
    {url!r},
    data=json.dumps(body).encode(),
    headers={{
        "Authorization": "Bearer " + os.environ.get("APPLIANCE_KEY", ""),
        "Content-Type": "application/json",
    }},
)
with urllib.request.urlopen(request) as answer:
    print(json.dumps(json.load(answer), ensure_ascii=False, indent=2))"""


def _javascript(url: str, asked: dict[str, Any]) -> str:
    written = json.dumps(asked, ensure_ascii=False, indent=2)
    return f"""const body = {written};
const answer = await fetch({json.dumps(url)}, {{
  method: "POST",
  headers: {{
    Authorization: `Bearer ${{globalThis.process?.env.APPLIANCE_KEY ?? ""}}`,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify(body),
}});
console.log(JSON.stringify(await answer.json(), null, 2));"""
