"""Markdown that a model wrote, as HTML that is safe to show, whole or while it grows.

Raw HTML and reference definitions (they would change what is already shown) are off; an image is
a link to it, for a remote one would report the reader. nh3 is a second wall behind the escaping.
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

from appliance.web.markdown_code import GROWING, render_code
from appliance.web.markdown_math import math, math_blocks

_TEXT_TAGS = {"a", "br", "code", "del", "em", "s", "span", "strong"}
_BLOCK_TAGS = {"blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre"}
_LIST_TAGS = {"li", "ol", "ul", "table", "tbody", "td", "th", "thead", "tr"}
_MATH_LEAVES = {"mi", "mn", "mo", "ms", "mtext", "mspace"}
_MATH_ROWS = {"math", "mrow", "mstyle", "mpadded", "mphantom", "menclose", "mfrac", "msqrt"}
_MATH_SCRIPTS = {"mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover"}
_MATH_SCRIPTS |= {"mmultiscripts", "mprescripts"}
_MATH_TAGS = _MATH_LEAVES | _MATH_ROWS | _MATH_SCRIPTS | {"mtable", "mtr", "mtd"}
_TAGS = _TEXT_TAGS | _BLOCK_TAGS | _LIST_TAGS | _MATH_TAGS
_ATTRIBUTES = {
    "*": {"dir"},
    "a": {"href", "title", "class"},
    "ol": {"start"},
    "pre": {"tabindex"},
    **{tag: {"class"} for tag in ("code", "span", "td", "th")},
    "div": {"class", "tabindex", "data-file"},
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {"stretchy", "fence", "form", "minsize", "maxsize", "lspace", "rspace", "accent"},
    "mspace": {"width"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mfrac": {"linethickness"},
    "mtable": {"displaystyle"},
    "mtd": {"class"},
    **{tag: {"accent", "accentunder"} for tag in ("mover", "munder", "munderover")},
}
_DIRECTED = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "th", "td"}
TABLE = '<div class="table-scroll" tabindex="0">'
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
    parser.disable(["html_block", "html_inline", "reference"])
    math(parser)
    parser.core.ruler.push("direction", _give_direction)
    parser.add_render_rule("fence", render_code)
    parser.add_render_rule("code_block", render_code)
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule(
        "table_open", lambda *_: '<div class="table-scroll" tabindex="0"><table>\n'
    )
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


@cache
def _structure() -> MarkdownIt:
    """The same blocks without what is in them: enough to see where blocks begin."""
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable("table")
    parser.disable(["html_block", "reference", "inline"])
    math_blocks(parser)
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


def _render_image(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Where the image is, for the reader to open or not."""
    token = tokens[index]
    address = str(token.attrs["src"])
    label = self.renderInlineAsText(token.children, options, env) or address
    return f'<a class="image-link" href="{escape(address)}">{escape(label)}</a>'


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
