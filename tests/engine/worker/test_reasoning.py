"""Thinking is told from answering at every cut, for each way that templates open it."""

from __future__ import annotations

import pytest

from appliance.engine.worker.reasoning import Parts, ReasoningSplitter

THOUGHT = "First <b>this</b>.\n\nThen </thin that 你好 👍."
ANSWER = "The answer.\n\n<think>is not one</think>"


def read(splitter: ReasoningSplitter, pieces: list[str]) -> Parts:
    parts = [*map(splitter.feed, pieces), splitter.flush()]
    return Parts("".join(p.reasoning for p in parts), "".join(p.text for p in parts))


def cuts(text: str) -> list[list[str]]:
    """The whole, every cut in two, and character by character."""
    return [[text], list(text), *([text[:at], text[at:]] for at in range(len(text)))]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("…assistant\n", f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"),
        ("…assistant\n", f"\n<think>{THOUGHT}</think>{ANSWER}"),
        ("…assistant\n<think>\n", f"{THOUGHT}\n</think>\n\n{ANSWER}"),
        ("…assistant\n<think>\n", f"\n{THOUGHT}\n\n</think>{ANSWER}"),
    ],
)
def test_thinking_and_answer_are_split(prompt: str, said: str) -> None:
    for pieces in cuts(said):
        splitter = ReasoningSplitter(enabled=True, prompt=prompt)
        assert read(splitter, pieces) == Parts(THOUGHT, ANSWER), pieces


@pytest.mark.parametrize("said", [ANSWER, " leading", "<thought>", "<thin", "\n\n", "a"])
def test_answer_without_thinking_is_untouched(said: str) -> None:
    for pieces in cuts(said):
        splitter = ReasoningSplitter(enabled=True, prompt="<think>\n\n</think>\n\n")
        assert read(splitter, pieces) == Parts("", said)


@pytest.mark.parametrize("said", ["<think>\n\n</think>\n\nHi", "<think></think>Hi"])
def test_empty_thinking_leaves_no_trace(said: str) -> None:
    for pieces in cuts(said):
        assert read(ReasoningSplitter(enabled=True), pieces) == Parts("", "Hi")


def test_thinking_that_is_cut_off_is_still_thinking() -> None:
    for pieces in cuts("<think>\nI was about to </th"):
        assert read(ReasoningSplitter(enabled=True), pieces) == Parts("I was about to </th", "")


def test_other_models_may_write_the_marks() -> None:
    said = "<think>a</think>b"
    assert read(ReasoningSplitter(enabled=False), list(said)) == Parts("", said)


def test_thinking_is_shown_while_it_grows() -> None:
    splitter = ReasoningSplitter(enabled=True)
    assert splitter.feed("<think>\nOne").reasoning == "One"
    assert splitter.feed(" two\n").reasoning == " two"
    assert splitter.feed("three").reasoning == "\nthree"
