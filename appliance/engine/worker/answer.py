"""One answer in the making: tokens in; reasoning and text out, by the same path for every reader.

Streaming and non-streaming callers get the same text because both read it from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance.engine.worker.reasoning import Parts, ReasoningSplitter
from appliance.engine.worker.text import StopStrings, TextDecoder


class Answer:
    """Stop strings are looked for in the answer only, not in the thinking before it."""

    def __init__(
        self, decoder: TextDecoder, splitter: ReasoningSplitter, stop: Sequence[str]
    ) -> None:
        self._decoder = decoder
        self._splitter = splitter
        self._stops = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        """A stop string was met: no further token can change the answer."""
        return self._stops.met

    def feed(self, tokens: Iterable[int]) -> Parts:
        reasoning, text = self._splitter.feed(self._decoder.feed(tokens))
        return Parts(reasoning, self._stops.feed(text))

    def flush(self) -> Parts:
        """What was held back, at the end of the tokens."""
        first = self._splitter.feed(self._decoder.flush())
        last = self._splitter.flush()
        shown = self._stops.feed(first.text + last.text) + self._stops.flush()
        return Parts(first.reasoning + last.reasoning, shown)
