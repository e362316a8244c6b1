"""How often tokens leave the engine.

On a processor, carrying a token to its reader takes time from computing everybody's next one. A
reader sees no difference between 25 pieces of text a second and more, so tokens wait for each other
a little; the first and the last ones never do. Many streams share what may be carried a second: at
16 each has a piece every 80 ms, still more than one word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from weakref import WeakSet

from appliance.engine.worker.backends.base import Step, TokenStream

PIECE_SECONDS = 0.04
PIECES_A_SECOND = 200

# A text says why the request failed.
News = list[tuple[TokenStream, Step | str]]


class Pace:
    """`clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._handed_over = clock()
        self._begun: WeakSet[TokenStream] = WeakSet()
        self._kept: News = []

    def ready(self, news: Sequence[tuple[TokenStream, Step | str]]) -> News | None:
        """All that is to be handed over now; None: it can wait."""
        self._kept += news
        urgent = [self._is_urgent(stream, item) for stream, item in news]
        if not any(urgent) and self._clock() - self._handed_over < self._wait_seconds():
            return None
        self._handed_over = self._clock()
        kept, self._kept = self._kept, []
        return kept

    def _wait_seconds(self) -> float:
        streams = len({stream for stream, _ in self._kept})
        return max(PIECE_SECONDS, streams / PIECES_A_SECOND)

    def _is_urgent(self, stream: TokenStream, item: Step | str) -> bool:
        first = stream not in self._begun
        self._begun.add(stream)
        return first or isinstance(item, str) or item.finish_reason is not None
