"""Chat templates: the packaged one, one in Qwen3's form, and ones that misbehave."""

from __future__ import annotations

import pytest

from appliance.domain import Message
from appliance.engine.worker.failure import LoadFailure
from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.prompt import ChatTemplate
from appliance.errors import InvalidRequest

TALK = [Message("user", "Hi <b>"), Message("assistant", "<think>\nhm\n</think>\n\nHello"),
        Message("user", "And?")]  # fmt: skip
QWEN_LIKE = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- '<|im_start|>assistant\\n' + message.content.split('</think>')[-1].lstrip('\\n') }}
        {%- endgeneration %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content }}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""


def test_packaged_template_writes_chatml_and_its_own_system_turn(demo_folder: ModelFolder) -> None:
    template = demo_folder.template()
    assert template is not None
    assert not template.thinking
    prompt = template.render([Message("user", "Hi")])
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant")
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_same_prompt_as_transformers_writes() -> None:
    pytest.importorskip("transformers", reason="PyTorch could not be had for this Python")
    from transformers.utils.chat_template_utils import render_jinja_template

    turns = [{"role": m.role, "content": m.content} for m in TALK]
    theirs = render_jinja_template(
        conversations=[turns], chat_template=QWEN_LIKE, add_generation_prompt=True
    )
    assert ChatTemplate(QWEN_LIKE).render(TALK) == theirs[0][0]


def test_thinking_can_be_switched_and_earlier_thinking_is_gone() -> None:
    template = ChatTemplate(QWEN_LIKE)
    assert template.thinking
    assert template.switchable
    prompt = template.render(TALK)
    assert "hm" not in prompt
    assert template.render(TALK, enable_thinking=True) == prompt
    assert template.render(TALK, enable_thinking=False) == prompt + "<think>\n\n</think>\n\n"


def test_template_may_refuse() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        template.render(TALK)


def test_template_is_kept_in_its_sandbox() -> None:
    template = ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(InvalidRequest):
        template.render(TALK)


def test_json_is_not_escaped_for_html() -> None:
    assert ChatTemplate("{{ messages[0].content | tojson }}").render(TALK) == '"Hi <b>"'


def test_broken_template_is_a_load_failure() -> None:
    with pytest.raises(LoadFailure, match="chat template"):
        ChatTemplate("{% for %}")
