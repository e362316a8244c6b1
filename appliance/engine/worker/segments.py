"""One answer from one or more streams of the backend, which knows nothing of thinking or calls.

A segment ends early when what follows must be asked for differently: the thinking is cut short, or
a form begins to hold. The next one goes on from the prompt and what was kept of the answer; the
backend's prefix cache makes that cheap.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from appliance.engine.worker.answer import joined
from appliance.engine.worker.backends.base import Ask, Backend, Scored, Step, TokenStream
from appliance.engine.worker.forms import Form
from appliance.engine.worker.job import Choice, Job
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.sampling import TokenSampling
from appliance.engine.worker.scores import of_prompt
from appliance.engine.worker.thinking import AFTER_THINKING, CLOSING
from appliance.engine.worker.tokenizer import TextTokenizer

_SEED_STEP = 0x9E3779B97F4A7C15


class Segments:
    """The tokens of one choice. Runs once."""

    def __init__(
        self, backend: Backend, tokenizer: TextTokenizer, job: Job, choice: Choice
    ) -> None:
        self._backend = backend
        self._tokenizer = tokenizer
        self._job = job
        self._choice = choice
        self._kept: list[int] = []
        self._segment = 0
        self._form = job.form  # that does not hold yet
        self._call_form = job.call_form
        self._budget = job.thinking_budget
        self._echo = job.echo  # that has not been said
        self._over = False  # no room for a further segment
        self._call_at = 0  # tokens kept before the call that is being read
        self._answer_at = 0  # tokens kept before the answer

    async def pieces(self) -> AsyncGenerator[Parts, None]:
        """The answer as it grows, the last held-back piece included. Raises BackendFailed.

        Closing it cancels the work. The choice's fields are kept up to date.
        """
        choice, clock = self._choice, self._job.clock
        ask: Ask | None = self._first()
        while ask is not None:
            stream, ask = TokenStream(ask), None
            self._backend.submit(stream)
            try:
                async with aclosing(stream.steps()) as steps:
                    async for step in steps:
                        if not clock.first_token:
                            clock.first_token = time.perf_counter()
                        if not self._kept:
                            choice.cached_tokens = stream.cached_tokens
                        if self._echo:
                            yield self._echoed(stream)
                        parts, ask = self._take(step)
                        yield parts
                        if ask is not None or self._over or choice.answer.stopped:
                            break
                        choice.finish_reason = step.finish_reason or choice.finish_reason
            finally:
                self._backend.cancel(stream)
        last = choice.answer.flush()
        choice.finish_reason = choice.answer.finish_reason(choice.finish_reason)
        yield last

    def _echoed(self, stream: TokenStream) -> Parts:
        """The prompt, which no stop string ends and no parser reads."""
        text, self._echo = self._echo, ""
        scores = stream.prompt_scores
        scored = of_prompt(self._tokenizer, self._job.prompt, scores) if scores else ()
        return Parts("", text, (), tuple(scored))

    def _take(self, step: Step) -> tuple[Parts, Ask | None]:
        """What a step adds, and the next segment when this one must end."""
        choice = self._choice
        if self._plain and not choice.hurried:
            self._kept += step.tokens
            choice.completion_tokens = len(self._kept)
            return choice.answer.feed(step.tokens, step.scores), None
        parts, ask = self._watch(step)
        choice.completion_tokens = len(self._kept)
        return parts, ask

    @property
    def _plain(self) -> bool:
        return self._form is None and self._call_form is None and self._budget is None

    def _first(self) -> Ask | None:
        form = None
        if self._choice.answer.answering and not self._job.form_or_calls:
            form, self._form = self._form, None
        return self._ask(form)

    def _ask(self, form: Form | None) -> Ask | None:
        """The next segment, or None when the answer may have no more tokens."""
        left = self._job.max_tokens - len(self._kept)
        if left < 1:
            self._choice.finish_reason, self._over = "length", True
            return None
        self._segment += 1
        return Ask(
            prompt=[*self._job.prompt, *self._kept],
            max_tokens=left,
            sampling=self._sampling(),
            form=form,
            top_logprobs=self._job.top_logprobs,
            prompt_scores=self._segment == 1 and self._job.scores_prompt,
            adapter=self._job.adapter,
        )

    def _sampling(self) -> TokenSampling:
        """Each choice and each segment draws its own numbers, the same ones for the same seed."""
        sampling = self._job.sampling
        if sampling.seed is None:
            return sampling
        seed = sampling.seed + self._choice.index + (self._segment - 1) * _SEED_STEP
        return replace(sampling, seed=(seed + 2**63) % 2**64 - 2**63)

    # --- token by token, while something may have to be asked for differently

    def _watch(self, step: Step) -> tuple[Parts, Ask | None]:
        seen: list[Parts] = []
        for at, token in enumerate(step.tokens):
            parts, ask = self._look(token, step.scores[at : at + 1])
            seen.append(parts)
            if ask is not None or self._over:
                return joined(seen), ask
        answer = self._choice.answer
        if not answer.thinking:
            self._choice.hurried = False
        if step.finish_reason == "stop" and self._form is not None and not answer.answering:
            # It ended without an answer, perhaps in its thinking: the form is owed all the same.
            parts, ask = self._owed()
            return joined([*seen, parts]), ask
        return joined(seen), None

    def _look(self, token: int, score: Sequence[Scored]) -> tuple[Parts, Ask | None]:
        answer, calls = self._choice.answer, self._choice.answer.calls
        thinking = answer.thinking
        if not answer.held:
            self._call_at = len(self._kept)
        self._kept.append(token)
        parts = answer.feed((token,), score)
        if answer.thinking:
            return self._still_thinking(parts)
        if answer.answering:
            self._budget = None
        if self._form is not None:
            parts, ask = self._before_form(parts, thinking, token)
            if ask is not None:
                return parts, ask
        if self._call_form is not None and calls is not None and calls.inside:
            form, self._call_form = self._call_form, None
            del self._kept[self._call_at :]
            answer.begin()
            return parts, self._ask(form)
        return parts, None

    def _still_thinking(self, parts: Parts) -> tuple[Parts, Ask | None]:
        over = self._budget is not None and self._choice.answer.reasoning_tokens >= self._budget
        if not over and not self._choice.hurried:
            return parts, None
        said, ask = self._close()
        return joined([parts, said]), ask

    def _close(self) -> tuple[Parts, Ask | None]:
        """End the thinking here, if that leaves room for an answer."""
        answer, closing = self._choice.answer, self._encode(CLOSING)
        self._budget, self._choice.hurried = None, False
        if len(self._kept) + len(closing) >= self._job.max_tokens:
            return Parts("", ""), None
        self._kept += closing
        self._answer_at = len(self._kept)
        answer.reasoning_tokens += len(closing)
        said = answer.think(CLOSING)
        held = self._form is not None and not self._job.form_or_calls
        return said, self._hold() if held else self._ask(None)

    def _before_form(
        self, parts: Parts, was_thinking: bool, token: int
    ) -> tuple[Parts, Ask | None]:
        """The form begins to hold where the answer begins, unless that begins with a call."""
        answer, calls = self._choice.answer, self._choice.answer.calls
        if was_thinking and not answer.thinking:
            self._end_thinking(token)
            if answer.answering or not self._job.form_or_calls:
                return Parts(parts.reasoning, ""), self._hold()
        if not answer.answering:
            return parts, None
        if self._job.form_or_calls and calls is not None and not answer.said:
            if calls.inside:
                self._form = None
            return parts, None
        return Parts(parts.reasoning, ""), self._hold()

    def _end_thinking(self, token: int) -> None:
        """Keep the closing mark and line breaks, and nothing of an answer in the same token."""
        spelt = self._tokenizer.spell(token).decode(errors="replace")
        mark = spelt[: spelt.rfind(">") + 1]
        if spelt[len(mark) :].strip():
            self._kept[-1:] = self._encode(mark)
        if not spelt.endswith("\n") or spelt[len(mark) :].strip():
            self._kept += self._encode(AFTER_THINKING)
        self._answer_at = len(self._kept)

    def _owed(self) -> tuple[Parts, Ask | None]:
        if not self._tokenizer.bytes(self._kept[-1]):
            self._kept.pop()  # the end token
        return self._close() if self._choice.answer.thinking else (Parts("", ""), self._hold())

    def _hold(self) -> Ask | None:
        """From here on the form holds; what came after the thinking is written again."""
        form, self._form = self._form, None
        del self._kept[self._answer_at :]
        self._choice.answer.begin()
        return self._ask(form)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)
