"""What a model may write, and what must never come of it."""

from __future__ import annotations

import re

import pytest

from appliance.web.markdown import GrowingMarkdown, render

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{display:none}</style>",
    "<form action=/keys><button>x</button></form>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](\x01javascript:alert(1))",
    '[x](http://a.example/"onmouseover="alert(1))',
    "![x](http://tracker.example/pixel.png)",
    "<javascript:alert(1)>",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>alert(1)</script>`",
    "| <b onclick=alert(1)>x</b> |\n|---|\n| <script>1</script> |",
    "> <object data=x></object>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<div hx-get=/keys hx-trigger=load></div>",
    '<https://a.example/?"><script>alert(1)</script>',
]

TEXTS = [
    "Plain words, then more.\n\nA second paragraph.\n",
    "# One\n\nText\n\n## Two\nmore text\n===\n\n***\nend",
    "- a\n- b\n\n  more of b\n\n    code in b\n- c\n\n1. one\n2. two\n   - deep\n\nafter",
    "para\n#not a heading\n# a heading\nnext\n",
    "```python\ndef f(x):\n    return x  # ```\n```\nafter\n~~~\nopen fence\n\nstill code\n",
    "text\n| a | b |\n|:-:|--:|\n| 1 | 2 |\nnot | a row\n\n| only | pipes |\nno table",
    "> quote\n> more\nlazy\n\n> another\n\n    indented code\n\n    goes on\n\nend",
    "a\n\n---\n\nb\n---\n\n- - -\n* * *\n",
    "[link](http://example.org) and [ref]\n\n[ref]: http://example.org\n\n[ref] again",
    "中文段落。\n\n- 第一\n- 第二 🎉\n\n```\n代码\n```\n\nעברית\n\nالعربية",
    "line one\r\nline two\r\n\r\nnext\r\n",
    "<div>\n\n*x*\n\n</div>\n\n<!-- comment\n\n-->\n\nend",
    "1. a\n\n   b\n\n\n2. c\n\ntext\n\n3) d\n4) e\n",
    "\n\n\n   \n  text\n\t\n\ttabbed code\n\n\n- \n\n  x\n",
    "a  \nb\\\nc *d\ne* `f\ng`\n\n**unclosed\n\n*still",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_a_model_writes_can_act(attack: str) -> None:
    html = str(render(attack))
    tags = re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", html)
    harmless = {"p", "a", "code", "pre", "div", "span", "blockquote", "br"}
    assert set(tags) <= harmless | {"table", "thead", "tbody", "tr", "th", "td"}
    attributes = re.findall(r"<[a-z0-9]+((?:\s+[a-z-]+=\"[^\"]*\")*)", html)
    names = {name for group in attributes for name in re.findall(r"([a-z-]+)=\"", group)}
    assert names <= {"href", "title", "target", "rel", "class", "dir", "tabindex", "data-file"}
    for address in re.findall(r'href="([^"]*)"', html):
        assert address.startswith(("http://", "https://", "mailto:"))


@pytest.mark.parametrize("text", TEXTS)
def test_growing_shows_the_same_as_whole_at_every_cut(text: str) -> None:
    growing, settled = GrowingMarkdown(), ""
    for length in range(len(text) + 1):
        finished, tail = growing.update(text[:length])
        settled += finished
        assert settled + tail == render(text[:length]), text[:length]


@pytest.mark.parametrize("chunk", [2, 3, 5, 7, 11, 64])
def test_growing_does_not_depend_on_how_the_text_is_cut(chunk: int) -> None:
    text = "\n\n".join(TEXTS)
    growing, settled = GrowingMarkdown(), ""
    for length in [*range(0, len(text), chunk), len(text)]:
        finished, tail = growing.update(text[:length])
        settled += finished
        assert settled + tail == render(text[:length])


def test_settled_blocks_are_sent_once_and_the_tail_stays_short() -> None:
    paragraphs = [f"Paragraph number {n} with a few words.\n\n" for n in range(200)]
    growing = GrowingMarkdown()
    tails = [growing.update("".join(paragraphs[:count]))[1] for count in range(1, 201)]
    assert max(map(len, tails)) < 200


def test_a_long_listing_is_coloured_once_it_is_whole() -> None:
    listing = "```python\n" + "return 1\n" * 1000
    growing = GrowingMarkdown()
    assert 'class="k"' not in growing.update(listing)[1]
    assert 'class="k"' in growing.update(listing + "```\n\nafter\nthat\n")[0]


def test_an_open_fence_is_code_while_it_grows() -> None:
    assert '<pre tabindex="0"><code>' in render("```python\nx = 1")
    assert "```" not in render("```python\nx = 1")


def test_code_is_highlighted_by_class_and_names_its_language() -> None:
    html = render('```python\nreturn "x"\n```')
    assert '<span class="k">return</span>' in html
    assert "<span>python</span>" in html
    assert "style=" not in html


def test_an_unknown_language_is_shown_as_it_is() -> None:
    assert "a &lt; b" in render("```no-such-language\na < b\n```")


def test_tables_align_by_class() -> None:
    html = render("| a | b |\n|:-:|--:|\n| 1 | 2 |")
    assert 'class="align-center"' in html
    assert 'class="align-right"' in html
    assert "style=" not in html


def test_links_open_apart_and_tell_nothing() -> None:
    html = render("[x](https://example.org)")
    assert 'target="_blank"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_each_block_has_its_own_direction() -> None:
    assert render("# שלום\n\nHello").count('dir="auto"') == 2


def test_images_are_links_to_them() -> None:
    html = render("![a cat](https://tracker.example/pixel.png)")
    assert "<img" not in html
    assert '<a class="image-link" href="https://tracker.example/pixel.png"' in html
    assert ">a cat</a>" in html


def test_a_wide_table_scrolls_by_keyboard_in_its_own_box() -> None:
    assert '<div class="table-scroll" tabindex="0"><table>' in render("| a |\n|---|\n| 1 |")


@pytest.mark.parametrize(("language", "name"), [("python", "code.py"), ("no-such", "code.txt")])
def test_code_has_a_name_to_be_saved_by(language: str, name: str) -> None:
    assert f'data-file="{name}"' in render(f"```{language}\nx\n```")
