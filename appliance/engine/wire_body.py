"""A `GenerationRequest` in OpenAI's words, as vLLM extends them. Knows no HTTP and no answers.

Only what was chosen is sent: a server that knows less than ours is asked for no more than needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.domain import (
    Constraint,
    GenerationRequest,
    Message,
    NamedTool,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
)

Fields = dict[str, Any]


def path_and_body(model: str, request: GenerationRequest) -> tuple[str, Fields]:
    """Where below `/v1` the request goes, and its JSON. `model` is the engine's own name."""
    body: Fields = {
        "model": request.adapter or model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling(request.sampling),
        **_thinking(request),
        **form_fields(request.constraint),
    }
    if request.choices > 1:
        body["n"] = request.choices
    if isinstance(request.prompt, str):
        return "/completions", body | _raw(request)
    body["messages"] = [_turn(message) for message in request.prompt]
    if request.continue_final_message:
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if request.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    tools = tool_fields(request.tools, request.tool_choice, request.parallel_tool_calls)
    return "/chat/completions", body | tools


def _raw(request: GenerationRequest) -> Fields:
    fields: Fields = {"prompt": list(request.token_ids) or request.prompt}
    if request.echo:
        fields["echo"] = True
    if request.top_logprobs is not None:
        fields["logprobs"] = request.top_logprobs
    return fields


def _sampling(sampling: Sampling) -> Fields:
    fields = sampling.given()
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if bias := fields.pop("logit_bias", None):
        fields["logit_bias"] = {str(token): value for token, value in bias.items()}
    return fields


def _thinking(request: GenerationRequest) -> Fields:
    fields: Fields = {}
    if request.enable_thinking is not None:
        fields["chat_template_kwargs"] = {"enable_thinking": request.enable_thinking}
    if request.thinking_budget is not None:
        # vLLM's name: it ignores fields that it does not know, ours among them.
        fields["thinking_token_budget"] = request.thinking_budget
    return fields


def form_fields(constraint: Constraint | None) -> Fields:
    """`response_format` where OpenAI has the form, since more servers know it."""
    if constraint is None:
        return {}
    match constraint.kind:
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            schema = {"name": "answer", "schema": constraint.value, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case "regex":
            return {"structured_outputs": {"regex": constraint.value}}
        case "choice":
            return {"structured_outputs": {"choice": list(constraint.value or ())}}


def tool_fields(tools: Sequence[Tool], choice: ToolChoice, parallel: bool) -> Fields:
    """Nothing where there are no tools."""
    if not tools:
        return {}
    fields: Fields = {"tools": [_tool(tool) for tool in tools]}
    if isinstance(choice, NamedTool):
        fields["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice != "auto":
        fields["tool_choice"] = choice
    if not parallel:
        fields["parallel_tool_calls"] = False
    return fields


def _tool(tool: Tool) -> Fields:
    function: Fields = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _turn(message: Message) -> Fields:
    turn: Fields = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["content"] = message.content or None
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        # Both names are in use: vLLM's and DeepSeek's.
        turn |= {"reasoning": message.reasoning, "reasoning_content": message.reasoning}
    return turn


def _call(call: ToolCall) -> Fields:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
