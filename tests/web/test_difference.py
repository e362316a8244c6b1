"""Differences that a person can decide on: whole words, nothing lost, whatever is accepted."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from appliance.web.difference import Piece, compare_lines, compare_words, merge

TEXTS = some.text(some.sampled_from(list("ab c\n。，字词句.!\r\t'’é")), max_size=60)


def changes(pieces: tuple[Piece, ...]) -> list[tuple[str, str]]:
    return [(one.old, one.new) for one in pieces if one.number is not None]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("I has a cat at home.", "I have a cat at home.", [("has", "have")]),
        ("A tall tree grows.", "A very tall tree grows.", [("", "very ")]),
        ("It's done, my friend.", "It's over, my friend.", [("done", "over")]),
        ("我们明天去公园散步。", "我们后天去公园散步。", [("明", "后")]),
        ("Es war gut.\n\nSie kam.", "Es war gut.\n\nSie ging.", [("kam", "ging")]),
        (
            "I look at the note on the door on holidays.",
            "I check the notice at the door on public holidays.",
            [("look", "check the notice"), ("the note on ", ""), ("", "public ")],
        ),
        ("same", "same", []),
        ("", "all new", [("", "all new")]),
    ],
)
def test_a_change_is_whole_words_or_characters(
    old: str, new: str, expected: list[tuple[str, str]]
) -> None:
    assert changes(compare_words(old, new)) == expected


def test_changes_beside_each_other_are_one() -> None:
    pieces = compare_words("the big, red house stands here", "the small, blue house stands here")
    assert changes(pieces) == [("big, red", "small, blue")]


def test_texts_with_little_in_common_are_one_change() -> None:
    old, new = "The keeper wrote a letter.", "守灯塔的人写了一封信。"
    assert compare_words(old, new) == (Piece(old, new, 0),)


def test_lines_that_stayed_are_no_part_of_that_change() -> None:
    told = "The keeper of the lighthouse wrote a letter to the sea on Monday."
    old = f"Dear Ada,\n{told}\nYours, Bob\n"
    new = old.replace(told, "守灯塔的人星期一给大海写了一封信。")
    pieces = compare_words(old, new)
    assert [one.old for one in pieces if one.number is None] == ["Dear Ada,\n", "Yours, Bob\n"]


def test_code_is_compared_by_lines() -> None:
    pieces = compare_lines("a = 1\nb = 2\nc = 3\n", "a = 1\nb = 20\nc = 3\nd = 4\n")
    assert changes(pieces) == [("b = 2\n", "b = 20\n"), ("", "d = 4\n")]
    assert merge(pieces, {1}) == "a = 1\nb = 2\nc = 3\nd = 4\n"


@settings(max_examples=80)
@given(TEXTS, TEXTS)
def test_all_accepted_is_the_new_text_and_none_the_old(old: str, new: str) -> None:
    for compare in (compare_words, compare_lines):
        pieces = compare(old, new)
        numbers = [one.number for one in pieces if one.number is not None]
        assert numbers == list(range(len(numbers)))
        assert merge(pieces, numbers) == new
        assert merge(pieces, ()) == old


def test_a_long_text_takes_no_longer_than_a_blink() -> None:
    old = "The keeper of the lighthouse wrote to the sea, and the sea replied. " * 1500
    new = old.replace("replied", "answered")
    began = time.process_time()
    assert merge(compare_words(old, new), ()) == old
    lines = "".join(f"Line {n} of the letter that the sea replied to.\n" for n in range(3000))
    assert len(changes(compare_words(lines, lines.replace("replied", "wrote", 3)))) == 3
    assert merge(compare_lines("\n" * 9000, "\n" * 9000 + "x\n"), ()) == "\n" * 9000
    assert time.process_time() - began < 10
