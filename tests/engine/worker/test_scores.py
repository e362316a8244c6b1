"""Log-probabilities belong to the text that is shown: no more tokens and no fewer."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.scripted import TEXT, Server, serving

pytestmark = pytest.mark.anyio
TEXTS = ["Plain words, then 3 more.", "Emoji 👩‍👩‍👧 and 你好, mixed.", "<thin is not thinking"]
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.fixture(scope="module")
def tokenizer(demo_folder: ModelFolder) -> TextTokenizer:
    return demo_folder.tokenizer()


async def scored(server: Server, **body: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Text and entries of a whole answer; those of a streamed one must be the same."""
    choice = await server.answer(logprobs=True, top_logprobs=2, **body)
    streamed = (await server.chat(logprobs=True, top_logprobs=2, stream=True, **body)).chunks
    choices = [chunk["choices"][0] for chunk in streamed]
    entries = [
        entry
        for c in choices
        if c.get("logprobs") is not None
        for entry in c["logprobs"]["content"]
    ]
    whole = choice["logprobs"]
    assert entries == (whole["content"] if whole else [])
    return choice["message"]["content"], entries


def spelt(entries: list[dict[str, Any]]) -> bytes:
    return b"".join(bytes(entry["bytes"]) for entry in entries)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("before", ["", "<think>\nhm hm\n</think>\n\n"])
async def test_entries_spell_the_answer(tokenizer: TextTokenizer, text: str, before: str) -> None:
    async with serving(tokenizer, before + text) as server:
        shown, entries = await scored(server)
        assert shown == text
        assert spelt(entries) == text.encode()
        tokens = tokenizer.encode(text, add_special_tokens=False)
        assert [entry["logprob"] for entry in entries] == [-token / 1e6 for token in tokens]
        for entry, token in zip(entries, tokens, strict=True):
            tops = [bytes(top["bytes"]) for top in entry["top_logprobs"]]
            assert tops == [tokenizer.spell(token), tokenizer.spell(token + 1)]


@pytest.mark.parametrize("text", TEXTS[:2])
async def test_stop_strings_cut_them(tokenizer: TextTokenizer, text: str) -> None:
    async with serving(tokenizer, text) as server:
        for at in range(1, len(text) - 2, 3):
            stop = text[at : at + 2]
            shown, entries = await scored(server, stop=[stop, "never"])
            assert shown == text[: text.index(stop)]
            said = spelt(entries)
            assert said.startswith(shown.encode())
            last = len(entries[-1]["bytes"]) if entries else 0
            assert len(said) - len(shown.encode()) < max(last, 1)


async def test_calls_and_their_line_breaks_are_left_out(tokenizer: TextTokenizer) -> None:
    said = 'Let me see.\n\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    async with serving(tokenizer, said) as server:
        shown, entries = await scored(server, tools=[TOOL])
        assert shown == "Let me see."
        assert spelt(entries).decode().rstrip() == shown
    only_call = said[said.index("<tool") :]
    async with serving(tokenizer, only_call) as server:
        assert await scored(server, tools=[TOOL]) == (None, [])


async def test_a_form_written_again_counts_once(tokenizer: TextTokenizer) -> None:
    def script(ask: Any) -> str:
        return "no form" if ask.form is None else '{"a": 1}'

    async with serving(tokenizer, script) as server:
        shown, entries = await scored(server, response_format={"type": "json_object"})
        assert shown == '{"a": 1}'
        assert spelt(entries) == shown.encode()


async def test_half_a_character_at_the_end(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.encode("ab 龘", add_special_tokens=False)
    async with serving(tokenizer, "ab 龘") as server:
        shown, entries = await scored(server, max_tokens=len(tokens) - 1)
        assert shown == "ab \ufffd"
        assert len(entries) == len(tokens) - 1


async def test_completions_have_their_own_form(tokenizer: TextTokenizer) -> None:
    text = "Hello there, world."
    async with serving(tokenizer, text) as server:
        choice = (await server.post(TEXT, prompt="x", logprobs=1)).json["choices"][0]
        scores = choice["logprobs"]
        assert "".join(scores["tokens"]) == choice["text"] == text
        for token, offset, top, logprob in zip(
            scores["tokens"], scores["text_offset"], scores["top_logprobs"],
            scores["token_logprobs"], strict=True,
        ):  # fmt: skip
            assert text[offset:].startswith(token)
            assert list(top) == [token]
            assert logprob < 0
        chunks = (await server.post(TEXT, prompt="x", logprobs=1, stream=True)).chunks
        pieces = [c["choices"][0]["logprobs"] for c in chunks if "logprobs" in c["choices"][0]]
        for name in ("tokens", "text_offset", "token_logprobs", "top_logprobs"):
            assert [value for piece in pieces for value in piece[name]] == scores[name]
        without = (await server.post(TEXT, prompt="x")).json["choices"][0]
        assert without["logprobs"] is None
