"""What differs between two texts, as pieces that can be accepted or rejected one by one.

Prose is compared by words, Chinese by characters, code by lines. Knows nothing of pages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+(?:['’][^\W{_HAN}]+)*|\n+|[^\S\n]+|.")
# Beyond this many comparisons words are only looked at within lines that differ.
_QUICK = 1_000_000
# Two texts with less than this in common are shown as one change: confetti helps nobody.
_COMMON = 0.25


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of both texts: the same in both (`number` None), or a change with its number."""

    old: str
    new: str
    number: int | None = None


@dataclass(slots=True)
class _Stretch:
    old: str
    new: str

    @property
    def same(self) -> bool:
        return self.old == self.new


def compare_words(old: str, new: str) -> tuple[Piece, ...]:
    """The pieces of two proses. A change is as small as it can be read: whole words."""
    stretches = _tidy(list(_by_words(old, new)))
    shared = sum(_weight(one.old) for one in stretches if one.same)
    if shared < _COMMON * max(_weight(old), _weight(new)):
        stretches = [_Stretch(old, new)]
    return _numbered(stretches)


def compare_lines(old: str, new: str) -> tuple[Piece, ...]:
    """The pieces of two listings, in whole lines."""
    return _numbered(_match(old.splitlines(keepends=True), new.splitlines(keepends=True)))


def merge(pieces: Collection[Piece], accepted: Collection[int]) -> str:
    """The text that has the accepted changes and keeps the old wherever one was rejected."""
    return "".join(one.new if one.number in accepted else one.old for one in pieces)


def _by_words(old: str, new: str) -> Iterator[_Stretch]:
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    if len(before) * len(after) <= _QUICK:
        yield from _match(before, after)
        return
    for part in _match(old.splitlines(keepends=True), new.splitlines(keepends=True)):
        before, after = _TOKEN.findall(part.old), _TOKEN.findall(part.new)
        if part.same or len(before) * len(after) > _QUICK:
            yield part
        else:
            yield from _match(before, after)


def _match(old: Sequence[str], new: Sequence[str]) -> Iterator[_Stretch]:
    # Spaces are junk to the matcher: they are matched beside words, never searched for. Nor are
    # lines that stand everywhere in a very long listing, or the time would grow as its square.
    endless = len(old) * len(new) > 4 * _QUICK
    matcher = SequenceMatcher(lambda token: token.isspace(), old, new, autojunk=endless)
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        yield _Stretch("".join(old[start:end]), "".join(new[new_start:new_end]))


def _tidy(stretches: list[_Stretch]) -> list[_Stretch]:
    """Joins changes that only a space or a lone small word keeps apart."""
    kept: list[_Stretch] = []
    for place, one in enumerate(stretches):
        last = place == len(stretches) - 1
        small = one.same and kept and not last and "\n" not in one.old and _weight(one.old) < 1
        if kept and not kept[-1].same and (small or not one.same):
            kept[-1] = _Stretch(kept[-1].old + one.old, kept[-1].new + one.new)
        else:
            kept.append(one)
    return kept


def _weight(text: str) -> float:
    """How many words it is worth; a Chinese character counts as half of one."""
    tokens = _TOKEN.findall(text)
    han = sum(1 for token in tokens if re.match(f"[{_HAN}]", token))
    return sum(1 for token in tokens if token[0].isalnum()) - han / 2


def _numbered(stretches: Iterator[_Stretch] | list[_Stretch]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    number = 0
    for one in stretches:
        if one.same:
            pieces.append(Piece(one.old, one.new))
        else:
            pieces.append(Piece(one.old, one.new, number))
            number += 1
    return tuple(piece for piece in pieces if piece.old or piece.new)
