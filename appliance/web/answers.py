"""What a model's answer holds, without what it was wrapped in. Knows nothing of tasks.

Small models put fences around prose, echo the tags they were shown and greet first, whatever
they are told. Code stands in fences, of which there may be several.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from textwrap import dedent, indent

from markdown_it import MarkdownIt

_TAGS = re.compile(r"^\s*</?(?:text|before|after)_*>\s*$\n?", re.MULTILINE)
_GREETING = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|okay|here(?:'s| is| are))\b[^\n]{0,120}[:：]"
    r"|(?:好的|当然|以下是|下面是)[^\n]{0,60}[:：])\s*\n+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Code:
    """The program of an answer: its text, the info string of its fence, and all the other words.

    `closed` is false when the answer ended within the fence.
    """

    text: str
    info: str
    notes: str
    closed: bool


def prose_of(answer: str, original: str) -> str:
    """The text that takes the place of `original`, with the blanks that stood around that."""
    text = _TAGS.sub("", answer)
    if not _GREETING.match(original):
        text = _GREETING.sub("", text)
    code = code_of(text)
    if code and not code.notes.strip() and "```" not in original:
        text = code.text
    return as_wide_as(original, text)


def as_wide_as(original: str, text: str) -> str:
    """`text` between the very blanks and line ends that `original` begins and ends with."""
    bare = original.strip()
    if not bare:
        return text
    first, last = original.split(bare)[0], original[original.index(bare) + len(bare) :]
    return first + text.strip() + last


def as_deep_as(original: str, text: str) -> str:
    """Code set in as far as `original` is: models begin a part of a program at the margin."""
    lines = [line for line in original.splitlines() if line.strip()]
    depth = min((line[: len(line) - len(line.lstrip())] for line in lines), key=len, default="")
    return as_wide_as(original, indent(dedent(text), depth) if depth else text)


def code_of(answer: str) -> Code | None:
    """The longest fenced block of an answer: what stands beside it are examples and commands."""
    lines = answer.split("\n")
    blocks = [token for token in _blocks().parse(answer) if token.type == "fence" and token.map]
    if not blocks:
        return None
    main = max(blocks, key=lambda token: len(token.content))
    first, last = main.map or [0, 0]
    closing = lines[last - 1].strip() if last - 1 > first else ""
    closed = closing.startswith(main.markup) and not closing.strip(main.markup[0])
    notes = "\n".join([*lines[:first], *lines[last:]]).strip()
    return Code(main.content.rstrip("\n"), main.info, notes, closed)


@cache
def _blocks() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    parser.disable(["html_block", "reference", "inline"])
    return parser
