"""Finds Hermes tool calls in a stream of answer text, and streams their arguments.

Knows the names of the tools and no schema. Whatever is no call comes out as text:

    malformed before its name is known, or naming no tool    the raw text, nothing else
    malformed later, when arguments have been sent already   `broken`, then the raw text
    cut off by the end of the answer                         what was sent stays; else the raw text
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection
from enum import Enum, auto
from typing import Any, NamedTuple

from appliance.engine.worker.hermes import CALL_CLOSE, CALL_OPEN
from appliance.engine.worker.json_scan import ObjectScanner
from appliance.engine.worker.text import open_end

# Everything before the arguments, in the order in which models write it.
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
_TAIL = re.compile(r"\s*\}\s*" + CALL_CLOSE)
_LONGEST_HEAD = 512


class CallPiece(NamedTuple):
    """A piece of one call: its first has `id` and `name`. `broken`: it turned out to be none."""

    number: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    broken: bool = False


class Found(NamedTuple):
    text: str
    calls: tuple[CallPiece, ...]


class _State(Enum):
    TEXT = auto()
    HEAD = auto()  # inside a call whose name is not known yet
    ARGUMENTS = auto()
    TAIL = auto()  # the arguments are whole; the closing brace and mark are to come


class ToolCallParser:
    """`known` are the names of the tools; after one call `full` is set unless `many`."""

    def __init__(self, known: Collection[str], *, many: bool = True) -> None:
        self._known = frozenset(known)
        self._many = many
        self._state = _State.TEXT
        self._held = ""  # not decided yet
        self._raw = ""  # of the call that is being read, without what is held
        self._scanner = ObjectScanner()
        self._text: list[str] = []
        self._pieces: list[CallPiece] = []
        self._index = 0
        self._after_call = False
        self._searched = 0  # up to here there is no closing mark in what is held
        self.complete = 0

    @property
    def full(self) -> bool:
        """No further call is wanted."""
        return self.complete > 0 and not self._many

    @property
    def held(self) -> int:
        """Characters that may still become text."""
        return len(self._raw) + len(self._held)

    @property
    def inside(self) -> bool:
        """A call was opened and is not closed yet."""
        return self._state is not _State.TEXT

    def feed(self, text: str) -> Found:
        self._held += text
        steps = {
            _State.TEXT: self._read_text,
            _State.HEAD: self._read_head,
            _State.ARGUMENTS: self._read_arguments,
            _State.TAIL: self._read_tail,
        }
        while self._held and not self.full and steps[self._state]():
            pass
        return self._take()

    def flush(self) -> Found:
        """The end of the answer. A call that was sent in part stays as it is."""
        if self._state in (_State.TEXT, _State.HEAD) and not self.full:
            if self._raw or not self._after_call:
                self._text.append(self._raw + self._held)
        elif self._state is _State.TAIL:
            self.complete += 1
        self._held = self._raw = ""
        return self._take()

    def restart(self) -> None:
        """Forget a call of which nothing was sent: it will be written again."""
        self._state, self._held, self._raw = _State.TEXT, "", ""

    def _take(self) -> Found:
        found = Found("".join(self._text), tuple(self._pieces))
        self._text, self._pieces = [], []
        return found

    # --- each reads on and says whether the next part has begun

    def _read_text(self) -> bool:
        at = self._held.find(CALL_OPEN)
        if at < 0:
            sure = self._held[: len(self._held) - open_end(self._held, CALL_OPEN)].rstrip()
            self._say(sure)
            self._held = self._held[len(sure) :]
            return False
        self._say(self._held[:at].rstrip())
        self._searched = 0
        self._raw, self._held = CALL_OPEN, self._held[at + len(CALL_OPEN) :]
        self._state = _State.HEAD
        return True

    def _say(self, text: str) -> None:
        """The line breaks after a call belong to it."""
        if text:
            self._text.append(text.lstrip() if self._after_call else text)
            self._after_call = False

    def _read_head(self) -> bool:
        if len(self._held) <= _LONGEST_HEAD and (head := _HEAD.match(self._held)):
            name = _loads(head[1])
            if name not in self._known:
                return self._give_up()
            self._begin(name)
            self._raw, self._held = self._raw + head[0], self._held[head.end() :]
            self._scanner, self._state = ObjectScanner(), _State.ARGUMENTS
            return True
        beginning = self._held.lstrip()
        if beginning and not beginning.startswith("{"):
            return self._give_up()
        end = self._held.find(CALL_CLOSE, self._searched)
        self._searched = max(0, len(self._held) - len(CALL_CLOSE))
        return end >= 0 and self._read_whole(end)

    def _read_whole(self, end: int) -> bool:
        """A call whose parts stand in another order, or whose arguments are missing or text."""
        value = _loads(self._held[:end])
        if not isinstance(value, dict) or value.get("name") not in self._known:
            return self._give_up()
        arguments = value.get("arguments", {})
        if isinstance(arguments, str):
            arguments = _loads(arguments)
        if not isinstance(arguments, dict):
            return self._give_up()
        self._begin(value["name"])
        self._argue(json.dumps(arguments, ensure_ascii=False))
        return self._end(end + len(CALL_CLOSE))

    def _read_arguments(self) -> bool:
        taken = self._scanner.feed(self._held)
        piece, self._held = self._held[:taken], self._held[taken:]
        self._raw += piece
        if self._scanner.broken:
            return self._break()
        self._argue(piece)
        if self._scanner.done:
            if not isinstance(_loads(self._scanner.text), dict):
                return self._break()
            self._state = _State.TAIL
        return self._scanner.done

    def _read_tail(self) -> bool:
        if tail := _TAIL.match(self._held):
            return self._end(tail.end())
        rest = re.sub(r"\s", "", self._held)
        if ("}" + CALL_CLOSE).startswith(rest):
            return False
        return self._break()

    def _begin(self, name: str) -> None:
        self._pieces.append(CallPiece(self._index, f"call_{secrets.token_hex(12)}", name))

    def _argue(self, text: str) -> None:
        if text:
            self._pieces.append(CallPiece(self._index, arguments=text))

    def _end(self, at: int) -> bool:
        self.complete += 1
        self._index += 1
        self._raw, self._held, self._state = "", self._held[at:], _State.TEXT
        self._after_call = True
        return True

    def _break(self) -> bool:
        """Arguments have been sent that are none."""
        self._pieces.append(CallPiece(self._index, broken=True))
        self._index += 1
        return self._give_up()

    def _give_up(self) -> bool:
        self._text.append(self._raw)
        self._raw, self._state, self._after_call = "", _State.TEXT, False
        return True


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
