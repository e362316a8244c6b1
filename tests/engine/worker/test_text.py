"""Tokens become text without half characters and without a trace of a stop string."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.text import StopStrings, TextDecoder
from appliance.engine.worker.tokenizer import TextTokenizer

TRICKY = [
    "Plain words, 2024 numbers and 3.14.",
    "👩‍👩‍👧‍👦 family, 🇩🇪 flag, 👍🏽 skin, e\u0301 combining",
    "你好,世界!今天天气怎么样?龘",
    "مرحبا بالعالم، كيف حالك؟ שלום עולם",
    "नमस्ते दुनिया — ไทย — 한국어 — Ελληνικά",
    "tabs\tand\r\nlines\n\n\n   spaces   ",
    "def f(x):\n    return {'a': [1, 2, x ** 2]}  # ½ ²",
    "\u202eright to left\u202c \u200b\ufeff zero width",
    "Zalgo: Z̴̨̛a̷l̶g̵o̸ and math 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
]


@pytest.fixture(scope="module")
def tokenizer(demo_folder: ModelFolder) -> TextTokenizer:
    return demo_folder.tokenizer()


@pytest.mark.parametrize("text", TRICKY)
def test_text_survives_every_cut_of_its_tokens(tokenizer: TextTokenizer, text: str) -> None:
    tokens = tokenizer.encode(text, add_special_tokens=False)
    for cut in range(len(tokens) + 1):
        decoder = TextDecoder(tokenizer.bytes)
        head, tail = decoder.feed(tokens[:cut]), decoder.feed(tokens[cut:])
        assert "\ufffd" not in head
        assert head + tail + decoder.flush() == text


def test_incomplete_character_waits_and_ends_as_a_replacement(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.encode("👍", add_special_tokens=False)
    assert len(tokens) > 1
    decoder = TextDecoder(tokenizer.bytes)
    assert decoder.feed(tokens[:-1]) == ""
    assert decoder.flush() == "\ufffd"


def test_special_and_unknown_tokens_are_silent(tokenizer: TextTokenizer) -> None:
    end = tokenizer.encode("<|im_end|>", add_special_tokens=False)
    assert len(end) == 1
    assert TextDecoder(tokenizer.bytes).feed([*end, 10**6, -1]) == ""


@pytest.mark.parametrize("text", TRICKY)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_stop_strings_at_every_place_and_cut(text: str, size: int) -> None:
    for start in range(len(text) - size + 1):
        stop = text[start : start + size]
        shown = text[: text.index(stop)]
        for cut in range(len(text) + 1):
            stops = StopStrings([stop, "\U0010ffff"])
            said = stops.feed(text[:cut]) + stops.feed(text[cut:]) + stops.flush()
            assert said == shown
            assert stops.met


@given(
    text=st.text(alphabet="ab🙂", max_size=30),
    stops=st.lists(st.text(alphabet="ab🙂", min_size=1, max_size=4), max_size=4),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
def test_streamed_text_ends_where_the_whole_one_does(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    cutter = StopStrings(stops)
    shown = list(accumulate([*map(cutter.feed, pieces), cutter.flush()]))[-1]
    ends = [text.index(stop) for stop in stops if stop in text]
    assert shown == text[: min(ends, default=len(text))]
    assert cutter.met == bool(ends)


def test_only_what_could_become_a_stop_string_waits() -> None:
    stops = StopStrings(["STOP"])
    assert stops.feed("Go on ST") == "Go on "
    assert stops.feed("A") == "STA"
    assert stops.feed("ST") == ""
    assert stops.flush() == "ST"
