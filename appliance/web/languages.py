"""The programming languages of the code helper: their names, files, and how to tell them apart.

A language is guessed from marks that its programs carry; a parser, where there is one, then has
a say. What is only likely is called so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.web.language_marks import CERTAIN, MARKS
from appliance.web.syntax import check_syntax

# Name on the page → info string of a fenced block, which is also Pygments' alias.
CODE_LANGUAGES: Mapping[str, str] = {
    "Python": "python", "JavaScript": "javascript", "TypeScript": "typescript", "Java": "java",
    "C": "c", "C++": "cpp", "C#": "csharp", "Go": "go", "Rust": "rust", "Kotlin": "kotlin",
    "Swift": "swift", "PHP": "php", "Ruby": "ruby", "R": "r", "SQL": "sql", "Bash": "bash",
    "PowerShell": "powershell", "HTML": "html", "CSS": "css",
}  # fmt: skip
EXTENSIONS: Mapping[str, str] = {
    "Python": "py", "JavaScript": "js", "TypeScript": "ts", "Java": "java", "C": "c", "C++": "cpp",
    "C#": "cs", "Go": "go", "Rust": "rs", "Kotlin": "kt", "Swift": "swift", "PHP": "php",
    "Ruby": "rb", "R": "R", "SQL": "sql", "Bash": "sh", "PowerShell": "ps1", "HTML": "html",
    "CSS": "css",
}  # fmt: skip
_OTHER_NAMES = {
    "py": "Python", "python3": "Python", "js": "JavaScript", "jsx": "JavaScript",
    "node": "JavaScript", "ts": "TypeScript", "tsx": "TypeScript", "c++": "C++", "cs": "C#",
    "c#": "C#", "golang": "Go", "rs": "Rust", "kt": "Kotlin", "rb": "Ruby", "sh": "Bash",
    "shell": "Bash", "zsh": "Bash", "console": "Bash", "ps1": "PowerShell", "pwsh": "PowerShell",
    "sqlite": "SQL", "postgresql": "SQL", "mysql": "SQL", "htm": "HTML",
}  # fmt: skip
_LIKELY = 2.0
_SURE = 4.0
_SURE_LEAD = 1.5
_MOST_LINES = 400
_CAP = 3


@dataclass(frozen=True, slots=True)
class Guess:
    """The language that a program is in, or seems to be in when it is not `sure`."""

    language: str
    sure: bool


def named(info: str) -> str:
    """The language that a fenced block's info string means; empty for one we do not know."""
    word = info.split()[0].lower() if info.split() else ""
    by_alias = {alias: name for name, alias in CODE_LANGUAGES.items()}
    return by_alias.get(word) or _OTHER_NAMES.get(word, "")


def guess_language(code: str) -> Guess | None:
    """The language of `code`, or None when nothing speaks for any."""
    for pattern, language in CERTAIN:
        if re.search(pattern, code, re.IGNORECASE):
            return Guess(language, True)
    scores = {name: score for name in MARKS if (score := _score(code, name)) > 0}
    # A parser that stumbles speaks against a language; one that does not speaks for it.
    for name in sorted(scores, key=lambda one: -scores[one])[:4]:
        checked = check_syntax(code, name)
        if checked.checked:
            scores[name] *= 0.7 if checked.fault else 1.3
    ranked = sorted(scores, key=lambda one: -scores[one])
    if not ranked or scores[ranked[0]] < _LIKELY:
        return None
    best = scores[ranked[0]]
    second = scores[ranked[1]] if len(ranked) > 1 else 0.0
    return Guess(ranked[0], best >= _SURE and best >= _SURE_LEAD * second)


def _score(code: str, language: str) -> float:
    """How many marks of the language the code carries, each counted a few times at most."""
    head = "\n".join(code.splitlines()[:_MOST_LINES])
    return sum(
        weight * min(_CAP, len(pattern.findall(head))) for pattern, weight in MARKS[language]
    )
