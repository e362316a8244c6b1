r"""Formulas in Markdown: where `\(…\)`, `\[…\]`, `$$…$$` and `$…$` begin and end.

A display formula ends at the next blank line at the latest, so that a growing text never changes
what has been settled. A single dollar is money unless it hugs its formula from both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import escape

from appliance.web.mathml import LONGEST_FORMULA, mathml

FORMULAS = "formulas"
MOST_FORMULAS = 400  # in one text; the rest is shown as source, so that the time is bounded
_CLOSERS = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
_LONGEST_DOLLAR = 500
_AFTERWARDS = frozenset({"", ".", ",", ";", "。", "，"})
_CITATION = re.compile(r"[\d,\s–-]+")
_MONEY = re.compile(r"\d[^\\^_=+*/<>{}-]*\s[^\\^_=+*/<>{}-]*")


def math(parser: MarkdownIt) -> None:
    """A plugin for `parser`."""
    parser.inline.ruler.before("escape", "math", _inline)
    math_blocks(parser)
    parser.add_render_rule("math_inline", _render)
    parser.add_render_rule("math_block", _render)


def math_blocks(parser: MarkdownIt) -> None:
    """Only what tells where blocks begin."""
    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "math_block", _block, {"alt": interrupted})


def _inline(state: StateInline, silent: bool) -> bool:
    opener = state.src[state.pos : state.pos + 2]
    closer = _CLOSERS.get(opener)
    if closer is not None:
        begin = state.pos + 2
        end = state.src.find(closer, begin, min(state.posMax, begin + LONGEST_FORMULA))
        after = end + 2
    elif opener.startswith("$"):
        begin, end = state.pos + 1, _dollar_end(state)
        after = end + 1
    else:
        return False
    inside = state.src[begin:end] if end > begin else ""
    if not inside.strip() or (opener == r"\[" and _CITATION.fullmatch(inside)):
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content, token.markup = inside, opener if closer else "$"
    state.pos = after
    return True


def _dollar_end(state: StateInline) -> int:
    """Place of the dollar that ends the formula beginning here; -1 when it is none."""
    text, start = state.src, state.pos
    if start and (_latin(text[start - 1]) or text[start - 1] in "$\\"):
        return -1
    end = text.find("$", start + 1, min(state.posMax, start + _LONGEST_DOLLAR))
    while end > start and text[end - 1] == "\\":
        end = text.find("$", end + 1, min(state.posMax, start + _LONGEST_DOLLAR))
    inside = text[start + 1 : end] if end > 0 else ""
    if not inside or inside[0].isspace() or inside[-1].isspace() or "\n" in inside:
        return -1
    after = text[end + 1 : end + 2]
    if _latin(after) or after == "$" or _MONEY.fullmatch(inside):
        return -1
    return end


def _latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    if state.is_code_block(first):
        return False
    opening = state.src[state.bMarks[first] + state.tShift[first] : state.eMarks[first]]
    closer = _CLOSERS.get(opening[:2]) if opening[:2] != r"\(" else None
    if closer is None:
        return False
    inside, found, rest = opening[2:].partition(closer)
    if found and rest.strip() not in _AFTERWARDS:
        return False  # a sentence that begins with a formula
    if silent:
        return True
    line, formula = first + 1, [inside]
    while not found and line < last and not state.isEmpty(line):
        if state.sCount[line] < state.blkIndent:
            break
        inside, found, rest = state.getLines(line, line + 1, 0, False).partition(closer)
        formula.append(inside)
        line += 1
    content = "\n".join(formula)
    if found and rest.strip() in _AFTERWARDS and len(content) <= LONGEST_FORMULA:
        token = state.push("math_block", "", 0)
        token.content, token.markup, token.info = content, opening[:2], rest.strip()
        token.block, token.map = True, [first, line]
    else:
        line = _until_blank(state, line, last)
        _paragraph(state, first, line)
    state.line = line
    return True


def _until_blank(state: StateBlock, line: int, last: int) -> int:
    while line < last and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        line += 1
    return line


def _paragraph(state: StateBlock, first: int, line: int) -> None:
    """What only looked like a formula, or is not yet closed."""
    opened = state.push("paragraph_open", "p", 1)
    opened.map = [first, line]
    inline = state.push("inline", "", 0)
    inline.content = state.getLines(first, line, state.blkIndent, False).strip()
    inline.map, inline.children = [first, line], []
    state.push("paragraph_close", "p", -1)


def _render(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    display = token.markup in ("$$", r"\[")
    env[FORMULAS] = env.get(FORMULAS, 0) + 1
    written = mathml(token.content, block=display) if env[FORMULAS] <= MOST_FORMULAS else None
    if written is None:
        closer = _CLOSERS.get(token.markup, token.markup)
        written = f"<code>{escape(token.markup + token.content + closer)}</code>"
    if token.type != "math_block":
        return written
    return f'<div class="math" tabindex="0">{written}{escape(token.info)}</div>\n'
