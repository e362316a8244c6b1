"""One request inside OpenVINO GenAI's pipeline: what it has said, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import openvino_genai as genai

from appliance.engine.worker.backends.base import Ask, Scored, Step, TokenStream
from appliance.engine.worker.backends.openvino_prefill import Prefill

_FINISH: dict[Any, Literal["stop", "length"]] = {
    genai.GenerationFinishReason.STOP: "stop",
    genai.GenerationFinishReason.LENGTH: "length",
}


@dataclass(eq=False, slots=True)
class Running:
    """`generated` counts from `ask`, which is the rest of what the stream asked. `said` was
    generated before, for the same ask, and is not said again."""

    handle: Any
    prefill: Prefill[TokenStream]
    ask: Ask
    said: Sequence[int] = ()
    generated: list[int] = field(default_factory=list)

    def read(self) -> Step:
        """What is new: perhaps no token at all."""
        tokens: list[int] = []
        scores: list[Scored] = []
        reason: Any = None
        while self.handle.can_read():
            # Nothing at all is how the library wakes the reader of a request that it dropped.
            for output in self.handle.read().values():
                tokens += output.generated_ids
                scores += [Scored(logprob, []) for logprob in output.generated_log_probs]
                reason = output.finish_reason
        again = max(0, len(self.said) - len(self.generated))
        self.generated += tokens
        wanted = scores[again:] if self.ask.top_logprobs is not None else ()
        return Step(tokens[again:], _FINISH.get(reason), wanted)

    @property
    def strayed(self) -> bool:
        """It says something else than it has said before."""
        both = min(len(self.said), len(self.generated))
        return list(self.said[:both]) != self.generated[:both]

    @property
    def dropped(self) -> bool:
        """The cache was full and nobody could go on: the library gave everybody's blocks back."""
        return bool(self.handle.get_status() == genai.GenerationStatus.IGNORED)

    def rest(self) -> Ask:
        """What is still to be said, after what was said; but a form begins at its beginning."""
        if not self.generated or self.ask.form is not None:
            return self.ask
        prompt = [*self.ask.prompt, *self.generated]
        return replace(
            self.ask, prompt=prompt, max_tokens=self.ask.max_tokens - len(self.generated)
        )

    def beyond(self, computed: int) -> Sequence[int]:
        """The tokens after the first `computed` ones whose keys and values are in the cache: the
        last one generated was never read."""
        return [*self.ask.prompt[computed:], *self.generated[:-1]]
