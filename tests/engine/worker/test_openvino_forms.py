"""Forms on the OpenVINO backend, with the packaged model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence

import pytest

from appliance.engine.worker.backends import openvino_forms
from appliance.engine.worker.backends.base import BackendFailed
from appliance.engine.worker.backends.openvino import OpenVinoBackend
from appliance.engine.worker.backends.openvino_pipeline import (
    OpenedModel,
)
from appliance.engine.worker.forms import (
    Form,
    JsonObject,
    JsonSchema,
    OneOf,
    Regex,
    ToolCalls,
)
from appliance.engine.worker.sampling import TokenSampling
from appliance.errors import InvalidRequest
from tests.engine.worker.openvino_parts import (
    Answer,
    endless_prompt,
    random_prompt,
)
from tests.waiting import until

pytestmark = pytest.mark.anyio
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
# A small model without a sense of form goes round in circles otherwise.
RESTLESS = TokenSampling(temperature=0.0, frequency_penalty=1.5)
CALL = re.compile(
    r'<tool_call>\n\{"name": "(\w+)", "arguments": (\{.*?\})\}\n</tool_call>', re.DOTALL
)


@pytest.mark.parametrize(
    ("form", "holds"),
    [
        (JsonObject(), lambda text: isinstance(json.loads(text), dict)),
        (JsonSchema(PERSON), lambda text: set(json.loads(text)) == {"name", "age"}),
        (Regex("[0-9]{3}-[a-z]{2}"), lambda text: re.fullmatch("[0-9]{3}-[a-z]{2}", text)),
        (OneOf(("always so",)), lambda text: text == "always so"),
        (OneOf(("", "\U0001f600\\n\t")), lambda text: text in ("", "\U0001f600\\n\t")),
        (OneOf(("maybe", 'perhaps\n"so"')), lambda text: text in ("maybe", 'perhaps\n"so"')),
        (
            ToolCalls((("weather", CITY), ("now", NOTHING)), many=False),
            lambda text: len(CALL.findall(text)) == 1 and CALL.fullmatch(text),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_answers_hold_to_their_form(
    backend: OpenVinoBackend,
    say: Callable[..., list[int]],
    text_of: Callable[[Sequence[int]], str],
    form: Form,
    holds: Callable[[str], object],
) -> None:
    await asyncio.to_thread(backend.check_form, form)
    prompt = say("Give me a person as JSON.")
    answer = Answer(backend, prompt, max_tokens=200, form=form, sampling=RESTLESS)
    text = text_of(await answer)
    assert answer.steps[-1].finish_reason == "stop", text
    assert holds(text), text


async def test_several_calls_are_one_line_break_apart(
    backend: OpenVinoBackend,
    say: Callable[..., list[int]],
    text_of: Callable[[Sequence[int]], str],
) -> None:
    form = ToolCalls((("weather", CITY),), many=True)
    text = text_of(await Answer(backend, say("The weather?"), max_tokens=120, form=form))
    calls = CALL.findall(text)
    assert len(calls) > 1
    assert text.startswith("\n".join(match.group(0) for match in CALL.finditer(text)))


BAD_FORMS: list[Form] = [
    JsonSchema({"enum": []}),
    JsonSchema({"type": "object", "properties": {"a": {"not": {}}}}),
    JsonSchema({"type": "array", "minItems": 5, "maxItems": 2}),
    Regex("[a-"),
    Regex("(?=x)a"),
    ToolCalls((("weather", {"enum": []}),), many=True),
]


async def test_bad_forms_are_refused_and_disturb_nobody(backend: OpenVinoBackend) -> None:
    """The library would die of them in a step: none may reach it, checked before or not."""
    most = 900
    running = Answer(backend, endless_prompt(1), max_tokens=most)
    await until(lambda: running.tokens)
    for form in BAD_FORMS:
        with pytest.raises(InvalidRequest, match=r"cannot be (enforced|held to: \w)"):
            await asyncio.to_thread(backend.check_form, form)
        with pytest.raises(BackendFailed, match="cannot be"):
            await Answer(backend, random_prompt(20, 2), form=form)
    before = len(running.tokens)
    # It goes on, unless it has said everything meanwhile.
    await until(lambda: len(running.tokens) > before or len(running.tokens) == most)
    running.cancel()


async def test_forms_are_compiled_beside_running_answers(backend: OpenVinoBackend) -> None:
    running = Answer(backend, endless_prompt(3), max_tokens=900)
    await until(lambda: running.tokens)
    fields = {
        f"f{i}": {"type": "string", "pattern": f"^[a-z]{{2,9}}[0-9]{{{i}}}$"} for i in range(30)
    }
    checks = [
        asyncio.to_thread(backend.check_form, JsonSchema({"type": "object", "properties": {n: s}}))
        for n, s in fields.items()
    ]
    before = len(running.tokens)
    await asyncio.gather(*checks)
    assert len(running.tokens) > before
    running.cancel()


def test_grammars_are_dropped_when_there_are_many(
    opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened.forms is not None
    monkeypatch.setattr(openvino_forms, "_KEPT", 1)
    for text in ("a", "b"):
        opened.forms.check(Regex(text))
    with opened.forms.lock:
        opened.forms.trim()
        opened.forms.ensure(Regex("a"))
        opened.forms.trim()  # one is not many
    opened.forms.check(Regex("a"))


def test_an_integer_bounded_on_one_side_is_closed_on_the_other() -> None:
    """The library takes `minimum` alone as no bound at all."""
    form = openvino_forms.structured(JsonSchema({"type": "integer", "minimum": 700}))
    assert json.loads(form.json_schema) == {
        "type": "integer",
        "minimum": 700,
        "maximum": 999_999_999_999_999,
    }
