"""Where a JSON object ends in a stream, at one look a character.

Knows brackets and strings only; whether what lies between is JSON is asked when it is whole.
"""

from __future__ import annotations

import re

# What can change the state outside of a string, and inside.
_OUTSIDE = re.compile(r'["{}\[\]<]')
_INSIDE = re.compile(r'["\\\n]')
_CLOSES = {"}": "{", "]": "["}


class ObjectScanner:
    """`text` is what was taken. `broken`: it cannot become an object any more."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._open: list[str] = []
        self._in_string = False
        self._escaped = False
        self.done = False
        self.broken = False

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def feed(self, text: str) -> int:
        """How many characters belong to the object: all, unless it ends or breaks here."""
        at = 0
        while at < len(text) and not self.done and not self.broken:
            at = self._string(text, at) if self._in_string else self._structure(text, at)
        self._parts.append(text[:at])
        return at

    def _string(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        found = _INSIDE.search(text, at)
        if found is None:
            return len(text)
        if found[0] == "\\":
            self._escaped = True
        elif found[0] == '"':
            self._in_string = False
        else:  # JSON writes line breaks as \n; this one is the end of a call that was cut short
            self.broken = True
        return found.end()

    def _structure(self, text: str, at: int) -> int:
        found = _OUTSIDE.search(text, at)
        if found is None:
            return len(text)
        mark = found[0]
        if mark == '"':
            self._in_string = True
        elif mark in "{[":
            self._open.append(mark)
        elif mark == "<" or not self._open or self._open.pop() != _CLOSES[mark]:
            # `<` is in no JSON outside of strings: the mark that closes the call has come too soon
            self.broken = True
            return found.start()
        else:
            self.done = not self._open
        return found.end()
