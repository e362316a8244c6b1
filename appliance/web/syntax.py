"""Whether a program is well-formed, and where it is not. Nothing is run.

Python is parsed by Python itself, other languages by their tree-sitter grammars, which are
loaded when first needed. Languages without a grammar here are left unchecked, and said to be:
the published ones of Kotlin, PowerShell and SQL stumble over right programs (decision 1).
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from appliance.domain import Phrase
from appliance.web.python_faults import phrase_of

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_GRAMMARS = {
    "Bash": ("tree_sitter_bash", "language"),
    "C": ("tree_sitter_c", "language"),
    "C#": ("tree_sitter_c_sharp", "language"),
    "C++": ("tree_sitter_cpp", "language"),
    "CSS": ("tree_sitter_css", "language"),
    "Go": ("tree_sitter_go", "language"),
    "HTML": ("tree_sitter_html", "language"),
    "Java": ("tree_sitter_java", "language"),
    "JavaScript": ("tree_sitter_javascript", "language"),
    "PHP": ("tree_sitter_php", "language_php"),
    "Ruby": ("tree_sitter_ruby", "language"),
    "Rust": ("tree_sitter_rust", "language"),
    "Swift": ("tree_sitter_swift", "language"),
    "TypeScript": ("tree_sitter_typescript", "language_tsx"),
}
_SHOWN = 40  # characters of what was not understood


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place that does not fit the grammar; line and column count from 1.

    `foreign`: `why` is a parser's own English, which has no translation.
    """

    line: int
    column: int
    why: Phrase
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class SyntaxCheck:
    """`checked` false: there is no parser for this language here."""

    checked: bool
    fault: Fault | None = None


def check_syntax(code: str, language: str) -> SyntaxCheck:
    """Parses `code` as the language of that name (`languages.CODE_LANGUAGES`)."""
    if language == "Python":
        return _python(code)
    parser = _parser(language)
    if parser is None:
        return SyntaxCheck(False)
    root = parser.parse(code.encode("utf-8", "replace")).root_node
    return SyntaxCheck(True, _fault(root) if root.has_error else None)


def _python(code: str) -> SyntaxCheck:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape is no mistake of form
        try:
            ast.parse(code)
        except SyntaxError as error:
            line = min(error.lineno or 1, code.count("\n") + 1)
            known = phrase_of(error.msg)
            why = known or Phrase("%(problem)s", {"problem": error.msg})
            return SyntaxCheck(True, Fault(line, error.offset or 1, why, foreign=known is None))
        except (ValueError, RecursionError, MemoryError):
            return SyntaxCheck(False)
    return SyntaxCheck(True)


def _fault(root: Node) -> Fault:
    """The first node that is missing or not understood, found by descending into errors only."""
    node = root
    while not (node.is_error or node.is_missing):
        inner = next((child for child in node.children if child.has_error), None)
        if inner is None:
            break
        node = inner
    row, column = node.start_point
    if node.is_missing:
        return Fault(
            row + 1, column + 1, Phrase("“%(token)s” is missing here.", {"token": node.type})
        )
    found = (node.text or b"").decode("utf-8", "replace").strip().split("\n")[0][:_SHOWN]
    return Fault(row + 1, column + 1, Phrase("“%(found)s” does not fit here.", {"found": found}))


@cache
def _parser(language: str) -> Parser | None:
    if language not in _GRAMMARS:
        return None
    import tree_sitter

    module, function = _GRAMMARS[language]
    grammar = getattr(import_module(module), function)()
    return tree_sitter.Parser(tree_sitter.Language(grammar))
