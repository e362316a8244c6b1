"""What became of an order: the difference to decide on, the program and what is known of it.

Made from the order and the answer alone, so it can be made again whenever the page is opened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from appliance.web.answers import as_deep_as, code_of, prose_of
from appliance.web.difference import Piece, compare_lines, compare_words
from appliance.web.languages import EXTENSIONS, Guess, guess_language, named
from appliance.web.prompts import fenced_code
from appliance.web.syntax import SyntaxCheck, check_syntax
from appliance.web.tasks import Order

AROUND_FAULT = 2


@dataclass(frozen=True, slots=True)
class Program:
    """Code of an answer, whole. `excerpt` is the lines around a fault, with their numbers."""

    text: str
    guess: Guess | None
    check: SyntaxCheck
    filename: str

    @property
    def language(self) -> str:
        return self.guess.language if self.guess else ""

    @property
    def fenced(self) -> str:
        """The program as a block of Markdown."""
        return fenced_code(self.text.rstrip("\n"), self.language)

    @property
    def excerpt(self) -> Sequence[tuple[int, str]]:
        if self.check.fault is None:
            return ()
        lines, line = self.text.split("\n"), self.check.fault.line
        first = max(1, line - AROUND_FAULT)
        return tuple(enumerate(lines[first - 1 : line + AROUND_FAULT], first))


@dataclass(frozen=True, slots=True)
class Outcome:
    """`notes` is Markdown to read; `pieces` are to be accepted, if any; `program` is code."""

    notes: str = ""
    pieces: Sequence[Piece] = ()
    program: Program | None = None

    @property
    def changes(self) -> int:
        return sum(1 for piece in self.pieces if piece.number is not None)


@lru_cache(maxsize=16)
def outcome_of(order: Order, answer: str, page: str) -> Outcome:
    """The outcome of a whole answer on the page `write` or `code`. Parses: call it in a thread."""
    if order.task.result == "beside":
        return Outcome(answer)
    if page == "write":
        part = order.passage.part
        return Outcome(pieces=compare_words(part, prose_of(answer, part)))
    return _of_code(order, answer)


def program_of(text: str, language: str = "", task: str = "") -> Program:
    """What is known of a program; `language` where it is known already."""
    guess = Guess(language, True) if language else guess_language(text)
    check = check_syntax(text, guess.language) if guess and guess.sure else SyntaxCheck(False)
    return Program(text, guess, check, filename(text, guess.language if guess else "", task))


def filename(code: str, language: str, task: str = "") -> str:
    """A name for the file, as the language wants it: a class in Java, a test in Go."""
    extension = EXTENSIONS.get(language, "txt")
    test = task == "tests"
    if language in ("Java", "C#", "Kotlin"):
        found = re.search(
            r"\b(?:public|class|record|object)\s+(?:final\s+)?(?:class\s+)?([A-Z]\w*)", code
        )
        return f"{found[1] if found else 'Program'}.{extension}"
    if test:
        named_ = {"Go": "program_test", "JavaScript": "program.test", "TypeScript": "program.test"}
        return f"{named_.get(language, 'test_program')}.{extension}"
    return f"{'text' if extension == 'txt' else 'program'}.{extension}"


def _of_code(order: Order, answer: str) -> Outcome:
    code = code_of(answer)
    if code is None:
        return Outcome(answer)
    language = order.target or order.language or named(code.info)
    if order.task.result == "new":
        return Outcome(code.notes, program=program_of(code.text + "\n", language, order.task.id))
    part = order.passage.part
    changed = as_deep_as(part, code.text)
    whole = order.passage.with_part(changed)
    return Outcome(code.notes, compare_lines(part, changed), program_of(whole, language))
