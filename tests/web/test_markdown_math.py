"""Formulas that a model writes: which are told, which are only dollars, and what they may hold."""

from __future__ import annotations

import re
import time

import pytest

from appliance.web.markdown import GrowingMarkdown, render
from appliance.web.mathml import mathml

FORMULAS = [r"so \(x^2\) is", "so $x^2$ is", "设$x$为数", "and $2x + 1$.", r"$\frac{1}{2}$, then"]
NOT_FORMULAS = [
    "from $5 to $10",
    "US$5 and HK$6",
    "$20,000 and $30,000",
    "$5 (or 10$)",
    "a $ b $ c",
    r"\$x\$",
    "`$x$`",
    "$$",
    r"\(\)",
    r"\[1\] Smith, \[2, 3\]",
]
GROWING = [
    "first\n\n$$\n\\frac{a}{b}\n$$\n\nthen\n",
    "text\n\\[\n- x\n+ y\n= z\n\\]\nmore\n\nend\n",
    "text\n$$\nnever closed\n- item\n\nend\n",
    "$$ a $$ and more\n- item\n\nend\n",
    "text\n$$\na\n$$ and more\n- item\n\nend\n",
    "- one\n  $$\n  x\n  $$\n- two\n\n> $$y$$.\n\nend\n",
    "| a |\n|---|\n| $x$ |\n\n\\(a\\) and \\[b\\]\n\nend",
]
HOSTILE = ["$a ", "$a$ ", r"\(", r"\[", "$$", "$$\n", r"\({\)", r"\(x\) ", "[", "![a](", "> "]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_mathml(text: str) -> None:
    html = render(text)
    assert '<math display="inline">' in html
    assert "$" not in html


@pytest.mark.parametrize("text", NOT_FORMULAS)
def test_what_only_looks_like_a_formula_stays_as_it_is(text: str) -> None:
    html = render(text)
    assert "<math" not in html
    assert html.count("$") == text.count("$")


@pytest.mark.parametrize("text", ["$$\nx\n$$", r"\[x\]", "$$x$$", "\\[\nx\n\\].", "a\n$$x$$\nb"])
def test_a_display_formula_stands_by_itself(text: str) -> None:
    assert '<div class="math" tabindex="0"><math display="block">' in render(text)


def test_aligned_lines_stand_under_each_other() -> None:
    html = render("$$\n\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}\n$$")
    assert html.count("<mtr>") == 2
    assert html.count('<mtd class="math-right">') == 2


def test_a_formula_that_is_not_understood_is_shown_as_written() -> None:
    assert r"<code>\(\left( x\)</code>" in render(r"\(\left( x\)")


@pytest.mark.parametrize(
    "formula",
    [
        r"\text{<script>alert(1)</script>}",
        r"\text{</math><img src=x onerror=alert(1)>}",
        r"\href{javascript:alert(1)}{x}",
        r"\style{position:fixed}{x}",
        r"\class{topbar}{x}",
        r"\color{url(http://tracker.example)}{x}",
    ],
)
def test_a_formula_cannot_act(formula: str) -> None:
    html = render(f"\\({formula}\\)")
    tags = set(re.findall(r"<([a-z]+)", html))
    assert tags <= {"p", "code"} | {tag for tag in tags if tag.startswith("m")}
    named = re.findall(r' ([a-z]+)="', re.sub(r"<p[^>]*>", "", html))
    assert set(named) <= {"display", "mathvariant", "stretchy", "class"}
    assert "topbar" not in html


def test_a_formula_does_not_push_itself_over_its_neighbours() -> None:
    assert 'width="-1em"' in str(mathml(r"\hspace{-100em}x"))
    assert 'width="4em"' in str(mathml(r"\hspace{9999em}x"))


@pytest.mark.parametrize("text", GROWING)
def test_formulas_grow_as_they_stay(text: str) -> None:
    growing, settled = GrowingMarkdown(), ""
    for length in range(len(text) + 1):
        finished, tail = growing.update(text[:length])
        settled += finished
        assert settled + tail == render(text[:length]), text[:length]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    """A formula tried at each place, to the end of the text, would take longer than this."""
    text = unit * (24_000 // len(unit))
    began = time.process_time()
    render(text)
    assert time.process_time() - began < 10
