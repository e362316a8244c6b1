"""A list of questions and answers, and which of them a question is about.

Ranked by words (BM25 over stems, and pairs of Chinese characters), for that needs no model and is
the same each time. It finds what shares words with the question, not what only means the same.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MOST_ENTRIES = 2000
# How much of the question's weight an entry must share; below it nothing is known. Measured on
# tests/web/faq_questions.py: lower lets strangers in, higher turns customers away.
LEAST_SHARED = 0.15
_K1, _B = 1.2, 0.75
_MARK = r"\s*\d*\s*[:：.、](?:\*\*)?\s*"
_QUESTION = re.compile(r"^\s*(?:\*\*)?(?:Q|Question|问|问题)" + _MARK, re.IGNORECASE)
_ANSWER = re.compile(r"^\s*(?:\*\*)?(?:A|Answer|答|回答)" + _MARK, re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_WORDS = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
_COMMON = """
a an and any are as at be by can could do does for from have how i if in is it me my of on or our
please shall should so some tell that the their them there these they this to us was we what when
where which who why will with would you your about get got s t long much many
怎么 什么 可以 多少 是否 如何 请问 你们 我们 我的 有没 没有 一下 哪里 时候 能不 不能 多久 需要
"""
_STOP = frozenset(_COMMON.split())


@dataclass(frozen=True, slots=True)
class Entry:
    """One question with its answer; `number` is its place in the list, from 1."""

    number: int
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Match:
    """`shared`: the part of the question's weight that the entry has, 0 to 1."""

    entry: Entry
    score: float
    shared: float


@lru_cache(maxsize=64)
def parse(text: str) -> tuple[Entry, ...]:
    """Entries of a list as people write it: Q:/A: lines, headings, a table of two columns, or
    paragraphs whose first line is the question."""
    pairs = _marked(text) or _headed(text) or _columns(text) or _paragraphs(text)
    kept = [(q.strip(), a.strip()) for q, a in pairs if q.strip() and a.strip()]
    return tuple(Entry(place, *pair) for place, pair in enumerate(kept[:MOST_ENTRIES], 1))


def best(entries: Sequence[Entry], question: str, count: int = 4) -> tuple[Match, ...]:
    """The entries that share most with the question, best first; none when all share too little."""
    asked = set(_terms(question))
    weights = _weights(tuple(entries))
    whole = sum(weights.rarity(term) for term in asked)
    if not whole:
        return ()
    found = []
    for place, entry in enumerate(entries):
        score = weights.score(place, asked)
        if score:
            common = sum(weights.rarity(term) for term in asked & weights.counts[place].keys())
            found.append(Match(entry, score, common / whole))
    found.sort(key=lambda match: (-match.score, match.entry.number))
    return tuple(match for match in found[:count] if match.shared >= LEAST_SHARED)


class _Weights:
    """How often each word stands in each entry; the question's own words count twice."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.counts = [Counter(_terms(f"{e.question} {e.question} {e.answer}")) for e in entries]
        self.lengths = [sum(count.values()) for count in self.counts]
        self.mean = sum(self.lengths) / max(1, len(self.lengths))
        self.spread = Counter(term for count in self.counts for term in count)

    def rarity(self, term: str) -> float:
        seen = self.spread[term]
        return math.log(1 + (len(self.counts) - seen + 0.5) / (seen + 0.5))

    def score(self, place: int, asked: set[str]) -> float:
        counts, long = self.counts[place], self.lengths[place] / (self.mean or 1)
        total = 0.0
        for term in asked & counts.keys():
            often = counts[term]
            total += self.rarity(term) * often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * long))
        return total


@lru_cache(maxsize=64)
def _weights(entries: tuple[Entry, ...]) -> _Weights:
    return _Weights(entries)


def _terms(text: str) -> list[str]:
    found: list[str] = []
    for word in _WORDS.findall(text.lower()):
        if word.isascii():
            found.append(_stem(word))
        else:
            found += [word] if len(word) == 1 else [word[i : i + 2] for i in range(len(word) - 1)]
    return [term for term in found if term not in _STOP]


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "ed", "es", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _marked(text: str) -> list[tuple[str, str]]:
    pairs: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if _QUESTION.match(line):
            pairs.append([_QUESTION.sub("", line), ""])
            inside = False
        elif pairs and _ANSWER.match(line):
            pairs[-1][1] += _ANSWER.sub("", line) + "\n"
            inside = True
        elif pairs:
            pairs[-1][1 if inside else 0] += ("" if inside else " ") + line + "\n" * inside
    return [(q.strip("* "), a) for q, a in pairs if a.strip()]


def _headed(text: str) -> list[tuple[str, str]]:
    pairs: list[list[str]] = []
    for line in text.splitlines():
        if found := _HEADING.match(line):
            pairs.append([found[1], ""])
        elif pairs:
            pairs[-1][1] += line + "\n"
    return [(q, a) for q, a in pairs if a.strip()]


def _columns(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    for mark in ("\t", ";", ","):
        rows = list(csv.reader(lines, delimiter=mark))
        if len(rows) > 1 and all(len(row) == 2 for row in rows):
            return [(q, a) for q, a in rows]
    return []


def _paragraphs(text: str) -> list[tuple[str, str]]:
    blocks = [block.strip().partition("\n") for block in re.split(r"\n\s*\n", text)]
    return [(first, rest or first) for first, _, rest in blocks if first]
