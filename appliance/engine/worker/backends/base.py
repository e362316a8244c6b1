"""What the worker asks of a batching library: token ids in, token ids out.

A backend knows no text, no HTTP and no waiting line: `engine.Engine` gives it at most
`max_concurrency` requests at a time, each of which is known to fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from appliance.engine.worker.backends.pulse import Pulse
from appliance.engine.worker.forms import Form
from appliance.engine.worker.sampling import TokenSampling


class Scored(NamedTuple):
    """Natural log-probabilities before any sampling parameter: the token's, the likeliest ones'."""

    logprob: float
    top: list[tuple[int, float]]


class Step(NamedTuple):
    """New tokens of one request. `finish_reason` is set on the last step only.

    The token that ends an answer is among `tokens`: it was generated and is counted. `scores` has
    one entry a token when the stream asked for them, and is empty otherwise.
    """

    tokens: list[int]
    finish_reason: Literal["stop", "length"] | None
    scores: Sequence[Scored] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one stream wants. `sampling` has its seed unless the caller gave none.

    `form` holds from the first generated token on. `top_logprobs` None: no scores; n: the chosen
    token's and the n likeliest's. `prompt_scores`: as many for the prompt too. `adapter` None: the
    model itself.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: TokenSampling
    form: Form | None = None
    top_logprobs: int | None = None
    prompt_scores: bool = False
    adapter: str | None = None


class BackendFailed(Exception):
    """The library failed while it worked on this request."""


class TokenStream:
    """The steps of one request, from the backend's thread to one reader on the event loop.

    Steps that pile up while the reader is busy are handed over as one.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        # Tokens of the prompt that were not computed again; set before the first step, by `push`.
        self.cached_tokens = 0
        # One for each token of the prompt but the first, where asked for; set as early.
        self.prompt_scores: Sequence[Scored] = ()
        self._tokens: list[int] = []
        self._scores: list[Scored] = []
        self._finish: Literal["stop", "length"] | None = None
        self._error: BackendFailed | None = None
        self._news = asyncio.Event()

    def push(self, step: Step) -> None:
        """On the event loop only, like `fail`."""
        self._tokens += step.tokens
        self._scores += step.scores
        self._finish = step.finish_reason
        self._news.set()

    def fail(self, reason: str) -> None:
        self._error = BackendFailed(reason)
        self._news.set()

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Ends after the step with a finish reason. Raises BackendFailed."""
        finish = None
        while finish is None:
            await self._news.wait()
            self._news.clear()
            tokens, self._tokens, finish = self._tokens, [], self._finish
            scores, self._scores = self._scores, []
            if tokens or finish:
                yield Step(tokens, finish, scores)
            if self._error is not None and finish is None:
                raise self._error


# Called once, on the event loop, when the library is beyond repair and the process must end.
OnFatal = Callable[[BaseException], None]


class Backend(Protocol):
    """All methods are called on the event loop and return at once.

    `capabilities` names the sampling parameters (fields of TokenSampling) that it obeys, the
    forms it can hold an answer to (`forms.CAPABILITY`), and `logprobs`, `top_logprobs`,
    `prompt_logprobs` and `adapters` where it has them; no request ever asks for the rest.
    """

    capabilities: frozenset[str]
    engine_version: str
    pulse: Pulse

    @property
    def kv_usage(self) -> float:
        """The share of the KV cache, from 0 to 1, that answers under way hold."""
        ...

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        """Begin to work. When the library dies: every stream fails, then `on_fatal` is called."""

    def check_form(self, form: Form) -> None:
        """Compile a form, or find it compiled. May take a second: called in a thread, by several
        at once. Raises InvalidRequest that names the part which cannot be held to."""

    def submit(self, stream: TokenStream) -> None:
        """Begin to generate into `stream`. Never raises: what goes wrong fails the stream."""

    def cancel(self, stream: TokenStream) -> None:
        """Forget the stream. Nothing is pushed afterwards, and its place and cache are free
        before the next submitted request is scheduled. Harmless when it has ended."""

    def close(self) -> None:
        """Stop the library's thread; streams that still run may never end."""
