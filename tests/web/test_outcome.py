"""What is taken from an answer, however a model has wrapped it."""

from __future__ import annotations

import pytest

from appliance.web.answers import as_deep_as, code_of, prose_of
from appliance.web.difference import merge
from appliance.web.outcome import filename, outcome_of
from appliance.web.tasks import Order, check_order, load_assistant


def order(page: str, task: str, text: str, quoted: str = "") -> Order:
    return check_order(load_assistant(page), task=task, text=text, quoted=quoted)


@pytest.mark.parametrize(
    "answer",
    [
        "Better words.",
        "  Better words.\n",
        "<text>\nBetter words.\n</text>",
        "```\nBetter words.\n```",
        "```text\nBetter words.\n```\n",
        "Here is the polished text:\n\nBetter words.",
        "好的，以下是修改后的文本：\n\nBetter words.",
    ],
)
def test_prose_comes_out_of_its_wrapping(answer: str) -> None:
    assert prose_of(answer, "Old words.") == "Better words."


def test_blanks_around_the_part_stay_as_they_were() -> None:
    assert prose_of("New.", "\n\n  Old.\n") == "\n\n  New.\n"


def test_what_looks_like_wrapping_but_is_the_text_stays() -> None:
    text = "Here is the list:\n\n- one"
    assert prose_of(text, text) == text


def test_only_the_part_differs() -> None:
    wanted = order("write", "polish", "Keep this. I has it. Keep that.", quoted="I has it.")
    outcome = outcome_of(wanted, "I have it.", "write")
    assert outcome.changes == 1
    merged = wanted.passage.with_part(merge(outcome.pieces, {0}))
    assert merged == "Keep this. I have it. Keep that."


def test_the_longest_block_is_the_program_and_the_rest_is_said_beside_it() -> None:
    answer = (
        "Run `x`:\n```bash\npip install x\n```\n\n```python\nimport x\nx.go()\nx.stop()\n```\nDone."
    )
    code = code_of(answer)
    assert code is not None
    assert (code.info, code.text, code.closed) == ("python", "import x\nx.go()\nx.stop()", True)
    assert "pip install x" in code.notes
    assert "x.go()" not in code.notes


def test_fences_within_a_longer_fence_and_a_fence_left_open() -> None:
    inner = code_of("````md\nText\n```\ncode\n```\n````")
    assert inner is not None
    assert inner.text == "Text\n```\ncode\n```"
    left = code_of("```python\nx = 1")
    assert left is not None
    assert (left.text, left.closed) == ("x = 1", False)


def test_a_part_of_a_program_keeps_its_depth() -> None:
    original = "    if x:\n        y()\n"
    assert as_deep_as(original, "if z:\n    y()") == "    if z:\n        y()\n"


def test_a_changed_part_is_checked_within_the_whole_program() -> None:
    text = "def f():\n    return 1\n\ndef g():\n    return 2\n"
    wanted = order("code", "refactor", text, quoted="    return 2")
    outcome = outcome_of(wanted, "```python\nreturn (2\n```\nShorter.", "code")
    assert outcome.program is not None
    assert outcome.program.text == text.replace("return 2", "return (2")
    fault = outcome.program.check.fault
    assert fault is not None
    assert fault.line == 5
    assert (5, "    return (2") in outcome.program.excerpt
    assert outcome.notes == "Shorter."


def test_an_answer_without_code_is_words_to_read() -> None:
    outcome = outcome_of(order("code", "bugs", "x = 1"), "There is no bug.", "code")
    assert (outcome.notes, outcome.program, outcome.changes) == ("There is no bug.", None, 0)


@pytest.mark.parametrize(
    ("code", "language", "task", "name"),
    [
        ("print(1)", "Python", "", "program.py"),
        ("def test_x(): ...", "Python", "tests", "test_program.py"),
        ("public final class Main {}", "Java", "translate", "Main.java"),
        ("package x", "Go", "tests", "program_test.go"),
        ("hello", "", "", "text.txt"),
    ],
)
def test_a_file_is_named_as_its_language_wants(
    code: str, language: str, task: str, name: str
) -> None:
    assert filename(code, language, task) == name
