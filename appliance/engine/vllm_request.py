"""What a request needs before vLLM may have it: vLLM ignores or cuts short some of what our own
engine refuses, and refuses some of what our own does. Written for 0.32; knows no queue.
"""

from __future__ import annotations

from dataclasses import replace

from appliance.domain import GenerationRequest, NamedTool
from appliance.engine.client import EngineClient
from appliance.engine.config import Endpoint, EngineFacts
from appliance.engine.wire_body import path_and_body
from appliance.engine.wire_refusal import too_long
from appliance.errors import InvalidRequest, NotFound, UnsupportedParameter

# What the length of a prompt hangs on, by its name in both bodies.
_READ = (
    "model",
    "prompt",
    "messages",
    "tools",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
)


async def as_vllm_takes_it(
    client: EngineClient, endpoint: Endpoint, request: GenerationRequest, facts: EngineFacts
) -> GenerationRequest:
    """Raises InvalidRequest and its kind for what vLLM would not do and would not say."""
    _check(request, facts)
    await _check_length(client, endpoint, request, facts.context_length)
    return fitted(request)


def fitted(request: GenerationRequest) -> GenerationRequest:
    """The same wish in words that vLLM follows."""
    sampling = request.sampling
    if request.choices > 1 and sampling.temperature == 0:
        # It refuses several greedy answers, and makes them when they are not called so.
        sampling = replace(sampling, temperature=1.0, top_k=1)
    tools = request.tools
    if isinstance(request.tool_choice, NamedTool) or request.tool_choice == "required":
        # The schemas of enforced calls hold only where the tool is strict.
        tools = tuple(replace(tool, strict=True) for tool in tools)
    return replace(request, sampling=sampling, tools=tools)


def _check(request: GenerationRequest, facts: EngineFacts) -> None:
    if request.choices > facts.max_concurrency:
        raise InvalidRequest(
            "n is %(n)s, but this engine makes at most %(most)s answers at a time. Ask for "
            "1 to %(most)s.",
            param="n",
            n=request.choices,
            most=facts.max_concurrency,
        )
    thinking = {
        "chat_template_kwargs.enable_thinking": request.enable_thinking,
        "thinking_budget": request.thinking_budget,
    }
    for field, wish in thinking.items():
        if wish and not facts.thinking:
            raise UnsupportedParameter(
                "This model cannot think before it answers. Leave out %(field)s.",
                param=field,
                field=field,
            )


async def _check_length(
    client: EngineClient, endpoint: Endpoint, request: GenerationRequest, limit: int
) -> None:
    """It would end the answer early without a word. What is too long by itself it refuses."""
    wished = request.sampling.max_tokens
    if wished is None:
        return
    count = len(request.token_ids) or await _count(client, endpoint, request)
    if count is not None and count + wished > limit:
        raise too_long("max_tokens", count, wished, limit)


async def _count(
    client: EngineClient, endpoint: Endpoint, request: GenerationRequest
) -> int | None:
    """Tokens of the prompt; None where it cannot tell."""
    _, body = path_and_body(endpoint.model, request)
    question = {name: value for name, value in body.items() if name in _READ}
    try:
        count = (await client.ask(endpoint, "/tokenize", question)).get("count")
    except NotFound:
        return None
    return count if isinstance(count, int) else None
