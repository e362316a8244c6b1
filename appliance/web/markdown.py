"""Markdown that a model wrote, as HTML that is safe to show, whole or while it grows.

Raw HTML, images (a remote one would report the reader) and reference definitions (they would
change what is already shown) are off. nh3 is a second wall behind the escaping.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

_TEXT_TAGS = {"a", "br", "code", "del", "em", "s", "span", "strong"}
_BLOCK_TAGS = {"blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre"}
_LIST_TAGS = {"li", "ol", "ul", "table", "tbody", "td", "th", "thead", "tr"}
_TAGS = _TEXT_TAGS | _BLOCK_TAGS | _LIST_TAGS
_ATTRIBUTES = {
    "*": {"dir"},
    "a": {"href", "title"},
    "ol": {"start"},
    "pre": {"tabindex"},
    **{tag: {"class"} for tag in ("code", "div", "span", "td", "th")},
}
_DIRECTED = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "th", "td"}
GROWING = "growing"
LONG_CODE = 4000  # characters
_LINE_END = re.compile(r"\r\n|\r|\n")
_SCHEMES = {"http", "https", "mailto"}


@lru_cache(maxsize=1024)
def render(text: str) -> Markup:
    """Markdown as sanitised HTML."""
    return _sanitise(_parser().render(text))


class GrowingMarkdown:
    """Renders a text that only ever grows, touching each finished block once.

    A top-level block is settled as soon as a whole line begins the next one, for then nothing
    that follows can change it. Only the block after that, the tail, is rendered again.
    """

    def __init__(self) -> None:
        self._settled = 0

    def update(self, text: str) -> tuple[Markup, Markup]:
        """HTML of blocks settled since the last update, and of the tail as it stands now."""
        border = self._settled + _finished_length(text[self._settled :])
        settled = text[self._settled : border]
        self._settled = border
        # Not cached: each state of a growing text is seen once.
        return (
            _sanitise(_parser().render(settled)),
            _sanitise(_parser().render(text[border:], {GROWING: True})),
        )


def _finished_length(text: str) -> int:
    """Characters of `text` up to the start of its last block, judged by whole lines only."""
    whole = text[: text.rfind("\n") + 1]
    starts = [
        token.map[0]
        for token in _structure().parse(whole)
        if token.level == 0 and token.map and token.nesting >= 0
    ]
    if len(starts) < 2:
        return 0
    # The parser's own idea of a line, which is narrower than that of str.splitlines.
    line_ends = [found.end() for found in _LINE_END.finditer(whole)]
    return line_ends[starts[-1] - 1]


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "xhtmlOut": False})
    parser.enable(["table", "strikethrough"])
    parser.disable(["html_block", "html_inline", "image", "reference"])
    parser.core.ruler.push("direction", _give_direction)
    parser.add_render_rule("fence", _render_code)
    parser.add_render_rule("code_block", _render_code)
    return parser


@cache
def _structure() -> MarkdownIt:
    """The same blocks without what is in them: enough to see where blocks begin."""
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable("table")
    parser.disable(["html_block", "reference", "inline"])
    return parser


def _give_direction(state: StateCore) -> None:
    """Each block reads in the direction of its own first letter.

    Column alignment becomes a class: the Content-Security-Policy allows no style attribute.
    """
    for token in state.tokens:
        if token.nesting == 1 and token.tag in _DIRECTED:
            token.attrSet("dir", "auto")
        style = token.attrs.pop("style", None)
        if style is not None:
            token.attrSet("class", "align-" + str(style).removeprefix("text-align:"))


def _render_code(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    words = token.info.split()
    language = words[0] if words else ""
    head = f'<div class="code-head"><span>{escape(language)}</span></div>'
    if GROWING in env and len(token.content) > LONG_CODE:
        # Coloured once it is settled: until then it is rendered anew with each frame.
        language = ""
    code = f'<pre tabindex="0"><code>{_highlighted(token.content, language)}</code></pre>'
    return f'<div class="code-block">{head}{code}</div>\n'


def _highlighted(code: str, language: str) -> str:
    lexer = _lexer(language)
    if lexer is None:
        return str(escape(code))
    return highlight(code, lexer, _formatter())


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


@cache
def _formatter() -> HtmlFormatter[str]:
    return HtmlFormatter(nowrap=True)


def _sanitise(html: str) -> Markup:
    return Markup(  # noqa: S704 - this is the one place where a model's text becomes HTML
        nh3.clean(
            html,
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            url_schemes=_SCHEMES,
            link_rel="noopener noreferrer nofollow",
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )
    )
