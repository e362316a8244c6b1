"""Earlier turns: old thinking is gone, calls and results stand where the model was trained on."""

from __future__ import annotations

import json

import pytest

from appliance.domain import Message, Tool, ToolCall
from appliance.engine.worker.prompt import ChatTemplate
from tests.engine.worker.scripted import QWEN3_FORM

CHATML = """\
{% for m in messages %}
{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
# Knows the marks, but leaves old thinking where it is.
NAIVE_THINKER = CHATML + "{# <think></think> #}"
TOOLS = [Tool("weather", "Of a city", {"type": "object", "properties": {"city": {}}})]
CALL = ToolCall("call_1", "weather", '{"city":  "Paris"}')
ASKED = Message("user", "And in Paris?")
CALLING = Message("assistant", "", reasoning="I must look", tool_calls=(CALL,))
RESULT = Message("tool", "18 degrees", tool_call_id="call_1")
OLD = [
    Message("user", "Hi"),
    Message("assistant", "<think>\nold idea\n</think>\n\nHello"),
    Message("user", "Again"),
    Message("assistant", "Hello again", reasoning="second idea"),
]


@pytest.mark.parametrize("template", [QWEN3_FORM, NAIVE_THINKER, CHATML])
def test_old_thinking_is_gone(template: str) -> None:
    prompt = ChatTemplate(template).render([*OLD, ASKED])
    assert "idea" not in prompt
    assert "think" not in prompt
    assert "assistant\nHello<|im_end|>" in prompt
    assert "assistant\nHello again<|im_end|>" in prompt


@pytest.mark.parametrize("template", [QWEN3_FORM, NAIVE_THINKER])
@pytest.mark.parametrize("inside", [True, False])
def test_thinking_stays_inside_an_unfinished_tool_turn(template: str, inside: bool) -> None:
    calling = CALLING
    if inside:
        calling = Message("assistant", "<think>\nI must look\n</think>\n\n", tool_calls=(CALL,))
    unfinished = ChatTemplate(template).render([*OLD, ASKED, calling, RESULT], tools=TOOLS)
    assert unfinished.count("<think>\nI must look\n</think>\n\n<tool_call>") == 1
    assert "idea" not in unfinished
    done = [ASKED, calling, RESULT, Message("assistant", "18."), Message("user", "Thanks")]
    assert "I must look" not in ChatTemplate(template).render(done, tools=TOOLS)


def test_a_model_without_thinking_never_sees_any() -> None:
    prompt = ChatTemplate(CHATML).render([ASKED, CALLING, RESULT])
    assert "I must look" not in prompt


@pytest.mark.parametrize("system", [[], [Message("system", "Be brief.")]])
def test_both_ways_of_writing_tools_give_the_same_prompt(system: list[Message]) -> None:
    """What we write for templates that know no tools is what Qwen3's form writes by itself."""
    talk = [*system, ASKED, Message("assistant", "Wait", tool_calls=(CALL, CALL)), RESULT, RESULT]
    native = ChatTemplate(QWEN3_FORM).render(talk, tools=TOOLS)
    assert ChatTemplate(CHATML).render(talk, tools=TOOLS) == native
    assert native.count("<tool_response>\n18 degrees\n</tool_response>") == 2
    assert native.count("<|im_start|>user") == 2
    assert native.count('<tool_call>\n{"name": "weather", "arguments": {"city":  "Paris"}}\n') == 2


def test_the_model_is_told_of_the_tools() -> None:
    prompt = ChatTemplate(CHATML).render([Message("system", "Be brief."), ASKED], tools=TOOLS)
    assert prompt.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n")
    card = json.loads(prompt.split("<tools>\n")[1].split("\n</tools>")[0])
    assert card["function"] == {
        "name": "weather",
        "description": "Of a city",
        "parameters": {"type": "object", "properties": {"city": {}}},
    }


def test_another_form_of_tools_is_not_used() -> None:
    """Calls in a form that we cannot read would be lost."""
    other = CHATML + "{% if tools %}{# <tool_call><function=x> <tool_response> #}OTHER{% endif %}"
    prompt = ChatTemplate(other).render([ASKED], tools=TOOLS)
    assert "OTHER" not in prompt
    assert "# Tools" in prompt


def test_a_template_may_want_arguments_as_an_object() -> None:
    source = (
        "{# tools <tool_call> <tool_response> #}"
        "{{ messages[1].tool_calls[0].function.arguments.city }}"
    )
    assert ChatTemplate(source).render([ASKED, CALLING]) == "Paris"


def test_thinking_can_be_switched_off_where_the_template_has_no_switch() -> None:
    off = ChatTemplate(NAIVE_THINKER).render([ASKED], enable_thinking=False)
    assert off.endswith("assistant\n<think>\n\n</think>\n\n")
    opening = NAIVE_THINKER + "{{ '<think>\n' }}"
    off = ChatTemplate(opening).render([ASKED], enable_thinking=False)
    assert off.endswith("assistant\n<think>\n\n\n</think>\n\n")
    assert "think" not in ChatTemplate(CHATML).render([ASKED], enable_thinking=False)
