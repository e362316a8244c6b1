"""One answer from one or more streams of the backend, which knows nothing of thinking or calls.

Where one must end and another begin says `boundary`. The next one goes on from the prompt and what
was kept of the answer; the backend's prefix cache makes that cheap.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from appliance.engine.worker.backends.base import Ask, Backend, TokenStream
from appliance.engine.worker.boundary import Boundary, Next
from appliance.engine.worker.job import Choice, Job
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.sampling import TokenSampling
from appliance.engine.worker.scores import of_prompt
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
        self._boundary = Boundary(tokenizer, job, choice)
        self._segment = 0
        self._echo = job.echo  # that has not been said

    async def pieces(self) -> AsyncGenerator[Parts, None]:
        """The answer as it grows, the last held-back piece included. Raises BackendFailed.

        Closing it cancels the work. The choice's fields are kept up to date.
        """
        choice, boundary, clock = self._choice, self._boundary, self._job.clock
        ask = self._ask(boundary.first())
        while ask is not None:
            stream, ask = TokenStream(ask), None
            self._backend.submit(stream)
            try:
                async with aclosing(stream.steps()) as steps:
                    async for step in steps:
                        if not clock.first_token:
                            clock.first_token = time.perf_counter()
                        if not boundary.kept:
                            choice.cached_tokens = stream.cached_tokens
                        if self._echo:
                            yield self._echoed(stream)
                        parts, following = boundary.take(step)
                        yield parts
                        if following is not None:
                            ask = self._ask(following)
                            break
                        if choice.answer.stopped:
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

    def _ask(self, following: Next) -> Ask | None:
        """The next segment, or None when the answer may have no more tokens."""
        kept = self._boundary.kept
        left = self._job.max_tokens - len(kept)
        if left < 1:
            self._choice.finish_reason = "length"
            return None
        self._segment += 1
        return Ask(
            prompt=[*self._job.prompt, *kept],
            max_tokens=left,
            sampling=self._sampling(),
            form=following.form,
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
