"""Tokens become text as they come: no half characters, no trace of a stop string.

Both parts do a bounded amount of work per token, however long the answer has grown.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from appliance.engine.worker.tokenizer import TokenBytes


class TextDecoder:
    """Bytes of tokens to text. A character whose bytes are incomplete waits for the rest.

    `goes_on`: what comes follows other text, so that a space at its beginning is one.
    """

    def __init__(self, table: TokenBytes, *, goes_on: bool = False) -> None:
        self._table = table
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._first = table.strip_leading_space and not goes_on

    def feed(self, tokens: Iterable[int]) -> str:
        text = self._utf8.decode(b"".join(map(self._table, tokens)))
        if self._first and text:
            self._first = False
            text = text.removeprefix(" ")
        return text

    def flush(self) -> str:
        """What is left of a character that never became whole, as U+FFFD."""
        return self._utf8.decode(b"", final=True)


class StopStrings:
    """Cuts the text before the earliest stop string.

    Only the longest end of the text that could still grow into a stop string is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        """Text that is safe to show. After `met` is True everything further is dropped."""
        if self.met or not self._stops:
            return "" if self.met else text
        text = self._held + text
        start = min((at for at in map(text.find, self._stops) if at >= 0), default=-1)
        if start >= 0:
            self.met, self._held = True, ""
            return text[:start]
        keep = max(open_end(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    @property
    def held(self) -> int:
        """Characters that may still be shown."""
        return len(self._held)

    def flush(self) -> str:
        """The held text, once it is certain that nothing follows."""
        held, self._held = self._held, ""
        return held


def open_end(text: str, mark: str) -> int:
    """Length of the longest end of `text` that is a true beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-length:]):
            return length
    return 0
