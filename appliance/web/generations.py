"""A recorded generation as pages show it: its JSON read, its times as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.domain import Message, Tool, ToolCall
from appliance.gateway.account import read_calls, read_input, read_output
from appliance.gateway.terms import read_tools
from appliance.ledger.tables import GenerationRecord
from appliance.web.plots import Span, timeline
from appliance.web.snippets import Snippet, snippets


@dataclass(frozen=True, slots=True)
class GenerationView:
    """One generation, its JSON read: `turns` of a chat, or the raw text as a user turn.

    `tools` were offered, each with the JSON of its parameters; `form` is the schema, the pattern
    or the texts that the answer had to obey. `outputs` are the texts of its choices, `calls` the
    tools that the model wanted called; `snippets` are programs that ask the same.
    """

    record: GenerationRecord
    turns: Sequence[Message]
    tools: Sequence[tuple[Tool, str]]
    form: str
    outputs: Sequence[str]
    calls: Sequence[ToolCall]
    parameters: Mapping[str, str]
    spans: Sequence[Span]
    tokens_per_second: float | None
    snippets: Sequence[Snippet] = ()

    @property
    def said(self) -> str:
        """The answer as one text to compare: each choice, and each call on a line of its own."""
        calls = [f"{call.name}({call.arguments})" for call in self.calls]
        return "\n\n".join([*self.outputs, *calls])


def generation_view(record: GenerationRecord, base_url: str = "") -> GenerationView:
    spans: Sequence[Span] = ()
    if record.duration_ms is not None:
        spans = timeline(record.queue_ms or 0.0, record.ttft_ms, record.duration_ms)
    return GenerationView(
        record=record,
        turns=read_input(record.input),
        tools=[(tool, _indented(tool.parameters)) for tool in read_tools(record)],
        form=_indented(record.form),
        outputs=read_output(record),
        calls=read_calls(record.tool_calls or ()),
        parameters={name: _in_short(value) for name, value in record.parameters.items()},
        spans=spans,
        tokens_per_second=_decode_rate(record),
        snippets=snippets(record, base_url) if base_url else (),
    )


def _in_short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _indented(value: object) -> str:
    """JSON for reading; a text as it is, nothing for nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _decode_rate(record: GenerationRecord) -> float | None:
    """Tokens a second from the first to the last one; the first belongs to the prefill.

    None for an answer given again: nothing was computed for it.
    """
    if record.cached_from is not None:
        return None
    tokens, first, total = record.completion_tokens, record.ttft_ms, record.duration_ms
    if not tokens or tokens < 2 or first is None or total is None or total <= first:
        return None
    return (tokens - 1) / (total - first) * 1000
