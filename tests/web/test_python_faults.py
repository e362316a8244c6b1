"""The sentences that Python says of faults: each is still one of the running Python."""

from __future__ import annotations

import ast
import re
import sys

import httpx2
import pytest

from appliance.web.i18n import translate
from appliance.web.python_faults import SENTENCES, phrase_of
from appliance.web.syntax import check_syntax
from tests.web.site import Site
from tests.web.test_assistant import ordered, over

FIRST, LAST = (3, 11), (3, 13)
SINCE = {
    "unterminated f-string literal (detected at line %(line)s)": (3, 12),
    "unterminated triple-quoted f-string literal (detected at line %(line)s)": (3, 12),
    "parameter without a default follows parameter with a default": (3, 12),
    "f-string: valid expression required before '}'": (3, 12),
    "Did you mean to use 'from ... import ...' instead?": (3, 12),
    "unterminated string literal (detected at line %(line)s); perhaps you escaped the end quote?": (
        3,
        13,
    ),
    "Expected one or more names after 'import'": (3, 13),
}
UNTIL = {
    "non-default argument follows default argument": (3, 11),
    "f-string: empty expression not allowed": (3, 11),
    "f-string: %(problem)s": (3, 11),
}
# One for each of `SENTENCES`, in their order.
PROGRAMS = (
    "x = = 1",
    "f(a b)",
    "if x = 1:\n pass",
    "f() = 1",
    "not x = 1",
    "del f()",
    "x + 1 += 2",
    "f(a.b=1)",
    "x = {'a': 1\ny = 2",
    "print('a'))",
    "(\n1]",
    "f(1]",
    "x = 'it's'",
    "x = 'abc\\'",
    "x = f'abc",
    "x = '''abc\n",
    "x = f'''abc\n",
    "x = 1 \\",
    "x = 1 \\ 2",
    "for i in range(3)\n  x",
    "try:\n  x\ny",
    "x if y",
    "if x:\ny",
    "def f():\ny",
    "class A:\ny",
    "x\n  y",
    "if x:\n    y\n  z",
    "if x:\n\ty\n        z",
    "f（1)",
    "x\u00a0= 1",
    "print 'a'",
    "5abc",
    "0xg",
    "x = 08",
    "b'é'",
    "open('C:\\Users')",
    "f(a=1, 2)",
    "f(**a, 2)",
    "def f(a=1, b): pass",
    "def f(a=1, b): pass",
    "f(x for x in y, 1)",
    "[x, y for x in z]",
    "try:\n  x\nexcept A, B:\n  pass",
    "from a import b,",
    "import",
    "import x from y",
    "{1: 2, 3}",
    "{1:}",
    "f'{a'",
    "f'}'",
    "f'{}'",
    "f'{}'",
    "f'{a b}'",
)


LISTED = [
    (one.template, program)
    for one, program in zip(SENTENCES, PROGRAMS, strict=True)
    if SINCE.get(one.template, FIRST) <= sys.version_info[:2] <= UNTIL.get(one.template, LAST)
]


def said_of(program: str) -> str:
    with pytest.raises(SyntaxError) as caught:
        ast.parse(program)
    return caught.value.msg


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("template", "program"), LISTED)
def test_python_says_what_is_listed(template: str, program: str) -> None:
    said = said_of(program)
    phrase = phrase_of(said)
    assert phrase is not None, said
    assert phrase.template == template
    assert translate(phrase, "en") == said
    chinese = translate(phrase, "zh")
    assert re.search("[\u4e00-\u9fff]", chinese)


@pytest.mark.parametrize(
    ("program", "chinese"),
    [
        ("(a for a in c) = 1", "不能给生成器表达式赋值"),
        ("True = 1", "不能给True赋值"),
        ("x = “a”", "字符““”（U+201C）不能出现在代码中"),
        ("def f:\n pass", "此处应为“(”"),
    ],
)
def test_what_a_sentence_names_is_in_its_place(program: str, chinese: str) -> None:
    phrase = phrase_of(said_of(program))
    assert phrase is not None
    assert translate(phrase, "zh") == chinese


def test_what_is_not_listed_stays_as_python_says_it() -> None:
    fault = check_syntax("{**a for a in b}", "Python").fault
    assert fault is not None
    assert fault.foreign
    assert translate(fault.why, "zh") == "dict unpacking cannot be used in dict comprehension"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("print('a'", "<span>“(”没有闭合</span>"),
        ("{**a for a in b}", '<span lang="en">dict unpacking cannot be used'),
    ],
)
async def test_a_chinese_page_says_it_in_chinese_or_that_it_is_english(
    site: Site, client: httpx2.AsyncClient, program: str, shown: str
) -> None:
    client.cookies.set("language", "zh")
    site.gateway.script = [f"```python\n{program}\n```"]
    place = await ordered(client, "/code", task="translate", text="f", target="Python")
    await over(site, place)
    assert shown in (await client.get(place)).text
