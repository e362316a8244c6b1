"""Code in Markdown: coloured, under a head with its language and the name to save it by."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import cache, lru_cache

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import escape
from pygments import format, lex  # noqa: A004 - the library's own names
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

GROWING = "growing"
LONG_CODE = 4000  # characters
LONGEST_COLOURED = 60_000  # characters
COLOUR_SECONDS = 0.5
_PATTERN = re.compile(r"\*(\.[A-Za-z0-9]+)")


def render_code(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A render rule for fenced and indented code."""
    token = tokens[index]
    words = token.info.split()
    language = words[0] if words else ""
    name = f"code{_extension(language)}"
    head = f'<div class="code-head" data-file="{name}"><span>{escape(language)}</span></div>'
    if GROWING in env and len(token.content) > LONG_CODE:
        # Coloured once it is settled: until then it is rendered anew with each frame.
        language = ""
    code = f'<pre tabindex="0"><code>{_highlighted(token.content, language)}</code></pre>'
    return f'<div class="code-block">{head}{code}</div>\n'


def _highlighted(code: str, language: str) -> str:
    """In colour, unless that takes too long: some lexers are slow on what is not their language."""
    lexer = _lexer(language)
    if lexer is None or len(code) > LONGEST_COLOURED:
        return str(escape(code))
    until, tokens = time.monotonic() + COLOUR_SECONDS, []
    for token in lex(code, lexer):
        tokens.append(token)
        if time.monotonic() > until:
            return str(escape(code))
    return format(tokens, _formatter())


def _extension(language: str) -> str:
    """`.py` for python; `.txt` where the language has none of its own."""
    lexer = _lexer(language)
    for pattern in lexer.filenames if lexer is not None else ():
        if found := _PATTERN.fullmatch(pattern):
            return found[1]
    return ".txt"


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


@cache
def _formatter() -> HtmlFormatter[str]:
    return HtmlFormatter(nowrap=True)
