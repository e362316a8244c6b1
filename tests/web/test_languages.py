"""Which language a program is in, and whether it is well-formed: told only as far as known."""

from __future__ import annotations

import pytest

from appliance.web.languages import CODE_LANGUAGES, EXTENSIONS, Guess, guess_language, named
from appliance.web.syntax import check_syntax
from tests.web.samples import PROGRAMS

UNCHECKED = {"Kotlin", "R", "SQL", "PowerShell"}


def test_every_language_has_an_extension_and_a_sample() -> None:
    assert set(CODE_LANGUAGES) == set(EXTENSIONS) == set(PROGRAMS)


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_whole_program_is_recognised_for_sure(language: str) -> None:
    assert guess_language(PROGRAMS[language]) == Guess(language, True)


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_whole_program_has_no_fault(language: str) -> None:
    checked = check_syntax(PROGRAMS[language], language)
    assert checked.fault is None
    assert checked.checked is (language not in UNCHECKED)


@pytest.mark.parametrize(
    ("code", "guess"),
    [
        ("print('hello')\nx = [n for n in range(3)]\n", "Python"),
        ("let total = 1;\nif (total === 1) { total = 2; }", "JavaScript"),
        ("def mean(values):\n    return sum(values / len(values)\n", "Python"),
    ],
)
def test_a_scrap_or_a_broken_program_is_guessed(code: str, guess: str) -> None:
    found = guess_language(code)
    assert found is not None
    assert found.language == guess


@pytest.mark.parametrize("text", ["", "x = 1", "Write a script that sorts my photos by year."])
def test_what_could_be_anything_is_not_guessed_for_sure(text: str) -> None:
    found = guess_language(text)
    assert found is None or not found.sure


@pytest.mark.parametrize(
    ("language", "code", "line", "said"),
    [
        ("Python", "x = 1\ny = (2,\nprint(x)\nz = ]\n", 4, ""),
        ("Python", "def f():\nreturn 1\n", 2, "indented block"),
        ("JavaScript", "const a = 1;\nfunction f( {\n  return a;\n}\n", 2, ""),
        ("Go", "package main\n\nfunc main() {\n\tx := \n}\n", 4, "missing"),
        ("Rust", 'fn main() {\n    let x = 1;\n    println!("{}", x;\n}\n', 3, ""),
        ("Swift", "func f() -> Int {\n    let x = [1, 2\n    return x.count\n}\n", 2, ""),
        ("Java", "class A {\n  int f() {\n    return 1\n  }\n}\n", 3, "“;” is missing here."),
    ],
)
def test_a_fault_is_found_at_its_line(language: str, code: str, line: int, said: str) -> None:
    fault = check_syntax(code, language).fault
    assert fault is not None
    assert abs(fault.line - line) <= (0 if said else 3)
    assert said in fault.why.template % fault.why.values


@pytest.mark.parametrize("code", ["x = '\0'", "(" * 5000, '"\\d"\n'])
def test_odd_input_breaks_no_parser(code: str) -> None:
    check_syntax(code, "Python")
    check_syntax(code, "JavaScript")


def test_info_strings_name_languages() -> None:
    names = [named(info) for info in ("python3", "JS", "c++", "sh title=x", "", "klingon")]
    assert names == ["Python", "JavaScript", "C++", "Bash", "", ""]
