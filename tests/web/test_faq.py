"""Lists of questions as people write them, and what is found in them."""

from __future__ import annotations

import time

import pytest

from appliance.web import faq
from appliance.web.presets import _preset
from tests.web.faq_questions import CHINESE, ENGLISH

LISTS = {
    "marked": "Q: One?\nA: First\nand more.\n\nQ: Two?\nA: Second",
    "numbered": "**Question 1:** One?\n**Answer:** First\nand more.\nQ2: Two?\nA2: Second",
    "chinese": "问：One?\n答：First\nand more.\n\n问题2：Two?\n答：Second",
    "headings": "# List\n\n## One?\nFirst\nand more.\n\n## Two?\nSecond",
    "columns": 'One?,"First\tand more."\nTwo?,Second',
    "paragraphs": "One?\nFirst\nand more.\n\nTwo?\nSecond",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS.keys())
def test_a_list_is_read_as_people_write_it(text: str) -> None:
    first, second = faq.parse(text)
    assert (first.number, first.question) == (1, "One?")
    assert first.answer.split() == ["First", "and", "more."]
    assert (second.number, second.question, second.answer) == (2, "Two?", "Second")


@pytest.mark.parametrize(
    ("language", "question", "number"),
    [("en", *pair) for pair in ENGLISH] + [("zh", *pair) for pair in CHINESE],
)
def test_a_question_finds_its_entry_and_a_stranger_finds_none(
    language: str, question: str, number: int
) -> None:
    found = faq.best(faq.parse(_preset("service", language).faq), question)
    numbers = [match.entry.number for match in found]
    assert numbers == [] if number == 0 else number in numbers[:2]


def test_a_large_list_is_searched_at_once() -> None:
    text = "\n".join(
        f"Q: What about thing{n} and colour{n % 7}?\nA: It is {n}." for n in range(2000)
    )
    entries = faq.parse(text)
    assert len(entries) == faq.MOST_ENTRIES
    assert faq.best(entries, "thing1234")[0].entry.number == 1235
    began = time.process_time()
    faq.best(entries, "And what about thing777 in colour3?")
    assert time.process_time() - began < 0.5
