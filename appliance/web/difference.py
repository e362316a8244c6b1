"""What differs between two texts, as pieces that can be accepted or rejected one by one.

Prose is compared by words, Chinese by characters, code by lines. Knows nothing of pages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

_HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# A word has the spaces after it: alone they are everywhere, and matching them matches nothing.
_TOKEN = re.compile(rf"[^\S\n]+|(?:[{_HAN}]|[^\W{_HAN}]+(?:['’][^\W{_HAN}]+)*|\n+|\S)[^\S\n]*")
# Beyond this many comparisons words are only looked at within lines that differ.
_QUICK = 1_000_000
# Lines with less than this in common are shown as one change: confetti helps nobody.
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
    stretches = list(_spaces_apart(_tidy(list(_by_words(old, new)))))
    shared = sum(_weight(one.old) for one in stretches if one.same)
    if shared < _COMMON * max(_weight(old), _weight(new)):
        return compare_lines(old, new)
    return _numbered([_Stretch(*joined) for joined in _runs(stretches)])


def compare_lines(old: str, new: str) -> tuple[Piece, ...]:
    """The pieces of two listings, in whole lines."""
    return _numbered(_match(old.splitlines(keepends=True), new.splitlines(keepends=True)))


def merge(pieces: Collection[Piece], accepted: Collection[int]) -> str:
    """The text that has the accepted changes and keeps the old wherever one was rejected."""
    return "".join(one.new if one.number in accepted else one.old for one in pieces)


def _by_words(old: str, new: str) -> Iterator[_Stretch]:
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    if len(before) * len(after) <= _QUICK:
        yield from _match_words(before, after)
        return
    for part in _match(old.splitlines(keepends=True), new.splitlines(keepends=True)):
        before, after = _TOKEN.findall(part.old), _TOKEN.findall(part.new)
        if part.same or len(before) * len(after) > _QUICK:
            yield part
        else:
            yield from _match_words(before, after)


def _match_words(old: Sequence[str], new: Sequence[str]) -> Iterator[_Stretch]:
    """Words are the same whatever spaces follow; other spaces are a change of their own."""
    bare = [token.rstrip(" \t") for token in old], [token.rstrip(" \t") for token in new]
    matcher = SequenceMatcher(None, *bare, autojunk=False)
    for same, start, end, new_start, new_end in matcher.get_opcodes():
        if same == "equal":
            yield from map(_Stretch, old[start:end], new[new_start:new_end])
        else:
            yield _Stretch("".join(old[start:end]), "".join(new[new_start:new_end]))


def _match(old: Sequence[str], new: Sequence[str]) -> Iterator[_Stretch]:
    # Lines that stand everywhere in a very long listing are not searched for, or the time would
    # grow as its square; nor are empty ones.
    endless = len(old) * len(new) > 4 * _QUICK
    matcher = SequenceMatcher(lambda token: token.isspace(), old, new, autojunk=endless)
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        yield _Stretch("".join(old[start:end]), "".join(new[new_start:new_end]))


def _tidy(stretches: list[_Stretch]) -> list[_Stretch]:
    """Joins changes that only a space or a lone small word keeps apart."""
    kept: list[_Stretch] = []
    stretches = [_Stretch(*joined) for joined in _runs(stretches)]
    for place, one in enumerate(stretches):
        last = place == len(stretches) - 1
        small = one.same and kept and not last and "\n" not in one.old and _weight(one.old) < 1
        if kept and not kept[-1].same and (small or not one.same):
            kept[-1] = _Stretch(kept[-1].old + one.old, kept[-1].new + one.new)
        else:
            kept.append(one)
    return kept


def _spaces_apart(stretches: list[_Stretch]) -> Iterator[_Stretch]:
    """The spaces that end both sides of a change are none of it."""
    for one in stretches:
        old, new = one.old.rstrip(" \t"), one.new.rstrip(" \t")
        spaces = one.old[len(old) :]
        if one.same or not (old and new and spaces) or spaces != one.new[len(new) :]:
            yield one
        else:
            yield from (_Stretch(old, new), _Stretch(spaces, spaces))


def _runs(stretches: list[_Stretch]) -> Iterator[tuple[str, str]]:
    """Neighbours that are all the same, or all changed, as one."""
    for _, run in groupby(stretches, key=lambda one: one.same):
        members = list(run)
        yield "".join(one.old for one in members), "".join(one.new for one in members)


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
