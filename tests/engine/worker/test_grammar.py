"""Forms on the transformers backend: whatever the weights, the answer has the form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from appliance.engine.worker.backends import grammar
from appliance.engine.worker.backends.grammar import GrammarCompiler
from appliance.engine.worker.forms import Form, JsonObject, JsonSchema, OneOf, Regex, ToolCalls
from appliance.errors import InvalidRequest
from tests.engine.worker.matching import takes
from tests.engine.worker.playing import Played, Player, ask
from tests.engine.worker.test_transformers import END, crowd, prompt, started

PERSON = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["a", "b"]},
    },
    "required": ["age", "kind"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def player(tiny_folder: Path) -> Iterator[Player]:
    player = started(tiny_folder)
    yield player
    player.close()


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))


def text(tokenizer: Tokenizer, played: Played) -> str:
    assert played.error is None
    assert (played.finish, played.tokens[-1]) == ("stop", END)
    return str(tokenizer.decode(played.tokens))


def test_forms_of_all_kinds_beside_free_answers(player: Player, tokenizer: Tokenizer) -> None:
    call = ToolCalls((("weather", PERSON), ('other "tool"', PERSON)), many=False)
    forms: list[Form] = [
        JsonSchema(PERSON),
        Regex(r"^[a-c]{3}-[0-9][0-9]$"),
        OneOf(("yes", 'no "é"\n')),
        call,
    ]
    for form in forms:
        player.backend.check_form(form)
    wishes = [ask(prompt(i), 120, form=form, temperature=1.0) for i, form in enumerate(forms)]
    played = player.play(*crowd(5), *wishes, *crowd(5))
    schema, regex, choice, tool = (text(tokenizer, each) for each in played[5:9])
    person = json.loads(schema)
    assert 0 <= person["age"] <= 150
    assert person["kind"] in ("a", "b")
    assert re.fullmatch(r"[a-c]{3}-[0-9][0-9]", regex)
    assert choice in ("yes", 'no "é"\n')
    found = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", tool, re.DOTALL)
    assert found
    made = json.loads(found[1])
    assert made["name"] in ("weather", 'other "tool"')
    assert set(made["arguments"]) == {"age", "kind"}
    assert len({tuple(each.tokens) for each in played[:5]}) == 5


def test_penalties_and_bias_cannot_break_a_form(player: Player, tokenizer: Tokenizer) -> None:
    wish = ask(
        prompt(1), 40, form=Regex("(ab)+"), repetition_penalty=2.0, presence_penalty=2.0,
        frequency_penalty=2.0, logit_bias=((END, -100.0), (5, 100.0)), top_logprobs=2,
    )  # fmt: skip
    [played] = player.play(wish)
    assert played.finish == "length"
    assert re.fullmatch("(ab)+a?", tokenizer.decode(played.tokens))
    assert len(played.scores) == 40


def test_any_object_and_several_calls(player: Player, tokenizer: Tokenizer) -> None:
    many = ToolCalls((("f", {"type": "object", "additionalProperties": False}),), many=True)
    [anything, calls] = player.play(
        ask(prompt(2), 30, form=JsonObject(), temperature=1.0, seed=1),
        ask(prompt(2), 200, form=many, temperature=1.0, seed=1),
    )
    assert tokenizer.decode(anything.tokens).startswith("{")
    pieces = tokenizer.decode(calls.tokens).split("</tool_call>\n")
    assert pieces[0].startswith('<tool_call>\n{"name": "f", "arguments": {')


def test_a_seed_holds_in_a_form_too(player: Player) -> None:
    wish = ask(prompt(3), 60, form=JsonSchema(PERSON), temperature=1.5, seed=11)
    [alone] = player.play(wish)
    assert player.play(*crowd(6), wish)[6].tokens == alone.tokens


def test_a_form_that_cannot_be_held_is_refused(player: Player) -> None:
    with pytest.raises(InvalidRequest, match="uniqueItems at #/uniqueItems"):
        player.backend.check_form(JsonSchema({"type": "array", "uniqueItems": True}))
    with pytest.raises(InvalidRequest, match="unclosed"):
        player.backend.check_form(Regex("[a"))


def test_a_bad_form_that_nobody_checked_ends_its_stream_alone(player: Player) -> None:
    bad, good = player.play(ask(prompt(4), 5, form=Regex("[a")), ask(prompt(4), 5))
    assert bad.error
    assert len(good.tokens) == 5
    assert not player.fatal


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\d+$", ["3", "42"], ["٣", "4٣"]),
        (r"^\D$", ["a", "٣"], ["3"]),
        (r"^\w+$", ["a_1"], ["é", "٣"]),
        (r"^\W$", ["-", "é"], ["a", "_"]),
        (r"^[\d.-]+$", ["-3.5"], ["٣", "[", "]"]),
        (r"^[^\d]$", ["٣"], ["3"]),
        (r"^[^\W_]+$", ["a1"], ["_", "é"]),
        (r"^[\]\D]$", ["]", "٣"], ["3"]),
        (r"^\\d\\\d$", ["\\d\\3"], ["\\3\\3", "\\d\\٣"]),
        (r"^[\\w]$", ["\\", "w"], ["a"]),
    ],
)
def test_digits_and_word_characters_are_ascii_as_in_ecmascript(
    compiler: GrammarCompiler, pattern: str, good: list[str], bad: list[str]
) -> None:
    regex, schema = Regex(pattern), JsonSchema({"type": "string", "pattern": pattern})
    compiler.check(regex)
    compiler.check(schema)
    for text in good:
        assert takes(compiler, regex, text), text
        assert takes(compiler, schema, json.dumps(text, ensure_ascii=False)), text
    for text in bad:
        assert not takes(compiler, regex, text), text
        assert not takes(compiler, schema, json.dumps(text, ensure_ascii=False)), text


def test_grammars_are_compiled_once_and_forgotten_in_turn(
    demo_folder: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "_KEPT", 2)
    compiler = GrammarCompiler(tiny_folder / "tokenizer.json", [END])
    first = compiler._prototype(Regex("a"))
    assert compiler._prototype(Regex("a")) is first
    compiler.check(Regex("b"))
    compiler.check(Regex("a"))
    compiler.check(Regex("c"))
    assert compiler._prototype(Regex("a")) is first
    assert len(compiler._compiled) == 2
