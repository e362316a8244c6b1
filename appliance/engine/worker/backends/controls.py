"""What one request carries through transformers' loop: its wishes and what is learned."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from appliance.engine.worker.backends.base import Scored
from appliance.engine.worker.sampling import TokenSampling

if TYPE_CHECKING:
    from appliance.engine.worker.backends.grammar import FormMatcher


@dataclass(slots=True, eq=False, kw_only=True)
class Controls:
    """`sampling` has its seed. The batching thread writes what follows `adapter`.

    `scores` gets one entry a generated token, before the token is delivered; who delivers takes
    them out on the other side. `prompt_scores` gets one for each token of the prompt but the first;
    None: nobody asks.
    """

    sampling: TokenSampling
    matcher: FormMatcher | None = None
    top_logprobs: int | None = None
    adapter: str | None = None
    prompt_scores: list[Scored] | None = None
    cached_tokens: int = 0
    scores: deque[Scored] = field(default_factory=deque)

    @property
    def adjusts(self) -> bool:
        """Whether scores change before a token is chosen."""
        sampling = self.sampling
        return self.matcher is not None or bool(sampling.logit_bias) or sampling.penalised

    def __deepcopy__(self, memo: dict[int, Any]) -> Controls:
        """The library copies a request that it evicts and restarts; this one goes on with it."""
        return self


def controls_of(state: Any) -> Controls:
    """`state` is the library's RequestState."""
    controls: Controls = state.logit_processor_kwargs["controls"]
    return controls
