"""From a request to a job: everything that can be refused is refused here, before any token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.domain import GenerationRequest, Message, NamedTool, Sampling, Tool
from appliance.engine.config import EngineFacts
from appliance.engine.worker.admission import Admission
from appliance.engine.worker.answer import Answer
from appliance.engine.worker.backends.base import Backend
from appliance.engine.worker.forms import Form
from appliance.engine.worker.job import Choice, Clock, Job
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.reasoning import CLOSE, ReasoningSplitter
from appliance.engine.worker.sampling import TokenSampling, resolve_sampling
from appliance.engine.worker.scores import ScoreTrack
from appliance.engine.worker.text import TextDecoder
from appliance.engine.worker.thinking import wanted_thinking
from appliance.engine.worker.tokenizer import TextTokenizer
from appliance.engine.worker.tools import ToolCallParser
from appliance.engine.worker.wished_forms import offered_tools, wished_forms
from appliance.errors import InvalidRequest, UnsupportedParameter

# Longer texts are encoded in a thread: tokenising is about a million characters a second.
_CHARACTERS_AT_ONCE = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Knows what the loaded model and its backend can do. `thinking_defaults` are for answers
    that begin with thinking."""

    backend: Backend
    tokenizer: TextTokenizer
    template: ChatTemplate | None
    defaults: TokenSampling
    thinking_defaults: TokenSampling
    facts: EngineFacts

    async def job(self, request: GenerationRequest, fields: Mapping[str, str]) -> Job:
        """Raises InvalidRequest and its kind. `fields` says what the caller calls those parts of
        the request that have several names on the wire."""
        clock = Clock(arrived=time.perf_counter())
        self._check(request, fields)
        wish = wished_forms(request, fields, self.backend.capabilities)
        prompt = self.render(request, fields)
        thinks = self._thinks(request, prompt)
        defaults = self.thinking_defaults if thinks else self.defaults
        sampling = resolve_sampling(_asked(request.sampling), defaults, self.backend.capabilities)
        ids, max_tokens = await self._admit(request, prompt)
        for form in (wish.form, wish.call_form):
            if form is not None:
                await self._compile(form, wish.field)
        return Job(
            prompt=ids,
            max_tokens=max_tokens,
            sampling=sampling,
            choices=tuple(
                Choice(index, self._answer(request, prompt)) for index in range(request.choices)
            ),
            clock=clock,
            model=request.adapter or self.facts.model,
            adapter=request.adapter,
            top_logprobs=request.top_logprobs,
            thinking_budget=request.thinking_budget if thinks else None,
            form=wish.form,
            form_or_calls=wish.form_or_calls,
            call_form=wish.call_form,
            echo=prompt if request.echo else "",
        )

    def render(
        self,
        request: GenerationRequest,
        fields: Mapping[str, str],
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """The request's text as the model sees it."""
        if request.token_ids:
            self._check_tokens("prompt", request.token_ids)
            return self.tokenizer.decode(request.token_ids)
        if isinstance(request.prompt, str):
            return request.prompt
        if self.template is None:
            raise InvalidRequest(
                "This model has no chat template. Use /v1/completions.", param="messages"
            )
        if request.continue_final_message:
            return self._begun(request.prompt, offered_tools(request), self.template)
        return self.template.render(
            request.prompt,
            wanted_thinking(request, self.template, fields),
            offered_tools(request),
            add_generation_prompt=add_generation_prompt,
        )

    def _begun(
        self, turns: Sequence[Message], tools: Sequence[Tool], template: ChatTemplate
    ) -> str:
        """The prompt of a new answer, without thinking, and then the answer's beginning."""
        wish = False if template.thinking else None
        return template.render(turns[:-1], wish, tools) + turns[-1].content

    async def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        if len(text) <= _CHARACTERS_AT_ONCE:
            return self.tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return await asyncio.to_thread(
            self.tokenizer.encode, text, add_special_tokens=add_special_tokens
        )

    def _check(self, request: GenerationRequest, fields: Mapping[str, str]) -> None:
        if request.choices > self.facts.max_concurrency:
            raise InvalidRequest(
                "n is %(n)s, but this engine makes at most %(most)s answers at a time. Ask for "
                "1 to %(most)s.",
                param="n",
                n=request.choices,
                most=self.facts.max_concurrency,
            )
        scored = request.top_logprobs is not None
        asked = {
            "logprobs": scored,
            "top_logprobs": request.top_logprobs,
            "prompt_logprobs": scored and request.echo,
        }
        for name, wanted in asked.items():
            if wanted and name not in self.backend.capabilities:
                field = fields.get(name, name)
                raise UnsupportedParameter(
                    "This engine cannot do %(parameter)s. Leave it out, or use another engine.",
                    param=field,
                    parameter=field,
                )
        self._check_tokens("logit_bias", request.sampling.logit_bias or ())

    def _check_tokens(self, field: str, tokens: Iterable[int]) -> None:
        size = self.tokenizer.vocabulary_size
        for token in tokens:
            if not 0 <= token < size:
                raise InvalidRequest(
                    "%(field)s: %(token)s is no token of this model. Its ids are 0 to %(last)s.",
                    param=field,
                    field=field,
                    token=token,
                    last=size - 1,
                )

    def _thinks(self, request: GenerationRequest, prompt: str) -> bool:
        """Whether the answer will begin with thinking, or may."""
        if request.raw or self.template is None or not self.template.thinking:
            return False
        if request.continue_final_message:
            return False
        return not prompt.rstrip().endswith(CLOSE)

    async def _admit(self, request: GenerationRequest, prompt: str) -> tuple[list[int], int]:
        raw, ids = request.raw, list(request.token_ids)
        if not ids:
            ids = await self.encode(prompt, add_special_tokens=raw)
        admission = Admission(self.facts.context_length, self.facts.kv_tokens)
        field = "prompt" if raw else "messages"
        return ids, admission.admit(len(ids), request.sampling.max_tokens, field)

    async def _compile(self, form: Form, field: str) -> None:
        try:
            await asyncio.to_thread(self.backend.check_form, form)
        except InvalidRequest as error:
            error.param = error.param or field
            raise

    def _answer(self, request: GenerationRequest, prompt: str) -> Answer:
        tools = offered_tools(request)
        many = request.parallel_tool_calls and not isinstance(request.tool_choice, NamedTool)
        return Answer(
            TextDecoder(
                self.tokenizer.bytes, goes_on=request.raw or request.continue_final_message
            ),
            ReasoningSplitter(enabled=self._thinks(request, prompt), prompt=prompt),
            request.sampling.stop,
            ToolCallParser([tool.name for tool in tools], many=many) if tools else None,
            None if request.top_logprobs is None else ScoreTrack(self.tokenizer),
        )


def _asked(sampling: Sampling) -> dict[str, object]:
    """Field by field, as the backend's parameters are named."""
    names = set(Sampling.__dataclass_fields__) - {"max_tokens", "stop", "logit_bias"}
    bias = tuple(sorted(sampling.logit_bias.items())) if sampling.logit_bias else None
    return {name: getattr(sampling, name) for name in names} | {"logit_bias": bias}
