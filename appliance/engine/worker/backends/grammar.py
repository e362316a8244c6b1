"""Forms as llguidance grammars: compiled once, and one matcher a stream that says which tokens may
come next. Knows no model and no batch."""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher, LLTokenizer

from appliance.engine.worker.forms import (
    Form,
    JsonObject,
    JsonSchema,
    OneOf,
    Regex,
    ToolCalls,
)
from appliance.engine.worker.schema_check import check_form
from appliance.errors import InvalidRequest

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# Compiled grammars that are kept; one is a few hundred kilobytes.
_KEPT = 64
# A model without a sense of form would otherwise write line breaks for ever: at most one space,
# or one or two line breaks and an indentation, between two tokens of JSON (llama.cpp's rule).
_JSON: JsonCompileOptions = {"whitespace_pattern": r"(?: |\n{1,2}[ \t]{0,20})?"}
# ECMA-262's meaning. llguidance gives it to the patterns of schemas, but takes a
# bare regex as Rust does, where a digit of any script is one. Rust lets classes stand in classes.
_CLASSES = {"d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class FormMatcher:
    """How far one stream is in its form. `failure` says why it cannot go on, if it cannot."""

    def __init__(self, matcher: LLMatcher, end_tokens: Sequence[int]) -> None:
        self._matcher = matcher
        self._end_tokens = end_tokens
        self._seen = 0
        self.failure: str | None = None

    def allowed(self, generated: Sequence[int]) -> bytes:
        """One bit a token, the lowest bit first, for what may follow `generated`.

        Calls must not lose tokens in between, but may repeat them. End tokens are allowed where
        the form is complete, and alone where nothing can follow; after a failure too, so that the
        stream ends.
        """
        if self.failure is None:
            self._matcher.consume_tokens(list(generated[self._seen :]))
            self._seen = len(generated)
            mask = self._matcher.compute_bitmask()
            if not self._matcher.is_error() and any(mask):
                return bytes(mask)
            self.failure = self._matcher.get_error() or "the grammar allows no token"
        return _bits(self._end_tokens)


class GrammarCompiler:
    """Thread-safe. `tokenizer` is the path of a tokenizer.json."""

    def __init__(self, tokenizer: Path, end_tokens: Sequence[int]) -> None:
        """Takes half a second to two seconds. There must be an end token."""
        self._end_tokens = list(end_tokens)
        text = tokenizer.read_text(encoding="utf-8")
        self._tokenizer = LLTokenizer(text, eos_token=self._end_tokens)
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, form: Form) -> None:
        """Compile, or find compiled. Raises InvalidRequest that names what cannot be held to."""
        check_form(form)
        self._prototype(form)

    def matcher(self, form: Form) -> FormMatcher:
        """A fresh one, of a form that was checked."""
        return FormMatcher(self._prototype(form).deep_copy(), self._end_tokens)

    def _prototype(self, form: Form) -> LLMatcher:
        grammar = grammar_of(form)
        with self._lock:
            if found := self._compiled.get(grammar):
                self._compiled.move_to_end(grammar)
                return found
        compiled = LLMatcher(self._tokenizer, grammar)
        if compiled.is_error():
            raise InvalidRequest(
                "This form cannot be held to: %(reason)s",
                reason=" ".join(compiled.get_error().split())[:300],
            )
        with self._lock:
            self._compiled[grammar] = compiled
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        return compiled


def grammar_of(form: Form) -> str:
    """The form in llguidance's own words. Equal forms give equal texts."""
    match form:
        case JsonObject():
            return _json_grammar({"type": "object"})
        case JsonSchema(schema):
            return _json_grammar(schema)
        case Regex(pattern):
            return str(LLMatcher.grammar_from_regex(_with_ascii_classes(pattern)))
        case OneOf(texts):
            return _lark({"start": " | ".join(_literal(text) for text in texts)})
        case ToolCalls():
            return _lark(_tool_rules(form))


def _with_ascii_classes(pattern: str) -> str:
    return _ESCAPE.sub(lambda found: _CLASSES.get(found[1], found[0]), pattern)


def _json_grammar(schema: Mapping[str, Any]) -> str:
    return str(LLMatcher.grammar_from_json_schema(dict(schema), overrides=_JSON))


def _tool_rules(form: ToolCalls) -> dict[str, str]:
    rules = {"start": 'call ("\\n" call)*' if form.many else "call"}
    rules["call"] = " | ".join(f"call_{index}" for index in range(len(form.tools)))
    for index, (name, schema) in enumerate(form.tools):
        opening = f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": '
        arguments = json.dumps({**schema, "x-guidance": _JSON})
        rules[f"call_{index}"] = f"{_literal(opening)} arguments_{index} {_literal(_CLOSING)}"
        rules[f"arguments_{index}"] = f"%json {arguments}"
    return rules


_CLOSING = "}\n</tool_call>"


def _lark(rules: Mapping[str, str]) -> str:
    text = "\n".join(f"{name}: {rule}" for name, rule in rules.items())
    return str(LLMatcher.grammar_from_lark(text))


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _bits(tokens: Sequence[int]) -> bytes:
    mask = bytearray(max(tokens) // 8 + 1)
    for token in tokens:
        mask[token // 8] |= 1 << token % 8
    return bytes(mask)
