"""From a body to a job and the dialect that answers it: the two generating routes' difference."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain import GenerationRequest
from appliance.engine.worker.engine import Engine
from appliance.engine.worker.job import Job
from appliance.engine.worker.parsing import parse
from appliance.engine.worker.schemas import CompletionRequest, Generation
from appliance.engine.worker.schemas_chat import ChatRequest
from appliance.engine.worker.wire import Dialect
from appliance.engine.worker.wire_chat import ChatDialect
from appliance.engine.worker.wire_text import CompletionDialect


@dataclass(frozen=True, slots=True)
class Order:
    """A request that has been understood and admitted."""

    job: Job
    dialect: Dialect
    stream: bool
    include_usage: bool


async def chat_order(engine: Engine, body: bytes) -> Order:
    ask = parse(ChatRequest, body)
    enable_thinking, budget = ask.thinking()
    request = GenerationRequest(
        prompt=ask.turns(),
        sampling=ask.sampling(ask.max_completion_tokens or ask.max_tokens),
        choices=ask.n or 1,
        enable_thinking=enable_thinking,
        thinking_budget=budget,
        tools=ask.offered(),
        tool_choice=ask.choice(),
        parallel_tool_calls=ask.parallel_tool_calls is not False,
        constraint=ask.constraint(),
        top_logprobs=ask.wanted_scores(),
        adapter=_adapter(engine, ask),
        continue_final_message=ask.continue_final_message,
    )
    fields = {"constraint": ask.constraint_field, **ask.thinking_fields()}
    job = await engine.job(request, fields)
    return Order(job, ChatDialect(job.model), bool(ask.stream), ask.include_usage)


async def text_order(engine: Engine, body: bytes) -> Order:
    ask = parse(CompletionRequest, body)
    request = GenerationRequest(
        prompt=ask.prompt if isinstance(ask.prompt, str) else "",
        token_ids=() if isinstance(ask.prompt, str) else tuple(ask.prompt),
        sampling=ask.sampling(ask.max_tokens),
        choices=ask.n or 1,
        constraint=ask.constraint(),
        top_logprobs=ask.logprobs,
        adapter=_adapter(engine, ask),
        echo=bool(ask.echo),
    )
    job = await engine.job(
        request,
        {
            "constraint": ask.constraint_field,
            "top_logprobs": "logprobs",
            "prompt_logprobs": "echo",
        },
    )
    return Order(job, CompletionDialect(job.model), bool(ask.stream), ask.include_usage)


def _adapter(engine: Engine, ask: Generation) -> str | None:
    return ask.model if ask.model in engine.facts.adapters else None
