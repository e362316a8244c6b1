"""Turns of a chat become one text, by the template that comes with the model.

The same sandbox as transformers uses: a template is code from a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appliance.domain import Message, Tool
from appliance.engine.worker.failure import LoadFailure
from appliance.engine.worker.hermes import tool_card
from appliance.engine.worker.history import Habits, turns
from appliance.engine.worker.reasoning import CLOSE, OPEN
from appliance.errors import InvalidRequest


class ChatTemplate:
    """`thinking` is True when the model can think and says so with `<think>` marks.

    `switchable`: the template takes `enable_thinking`.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise LoadFailure(
                "load_failed", f"The chat template of this model cannot be used: {error}"
            ) from error
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._habits = Habits.of(source)
        self.thinking = self._habits.thinking
        self.switchable = "enable_thinking" in source

    def render(
        self,
        messages: Sequence[Message],
        enable_thinking: bool | None = None,
        tools: Sequence[Tool] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt, up to where the model goes on. Raises InvalidRequest when it refuses."""
        names: dict[str, Any] = dict(self._tokens)
        if enable_thinking is not None:
            names["enable_thinking"] = enable_thinking
        if tools and self._habits.hermes:
            names["tools"] = [tool_card(tool) for tool in tools]
        try:
            prompt = self._template.render(
                messages=turns(messages, tools, self._habits),
                add_generation_prompt=add_generation_prompt,
                **names,
            )
        except (TemplateError, TypeError) as error:
            raise InvalidRequest(
                "The model's chat template refuses these messages: %(reason)s",
                param="messages",
                reason=str(error) or type(error).__name__,
            ) from error
        if enable_thinking is False and add_generation_prompt:
            return self._without_thinking(prompt)
        return prompt

    def _without_thinking(self, prompt: str) -> str:
        """The switch for templates that have none: the thinking is over before it begins."""
        if not self.thinking or self.switchable:
            return prompt
        opened = prompt.rstrip().endswith(OPEN)
        return f"{prompt if opened else prompt + OPEN}\n\n{CLOSE}\n\n"


class _GenerationBlocks(Extension):
    """`{% generation %}` marks assistant turns for training; here its content is just text."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own way to declare it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Plain JSON: Jinja's own filter escapes HTML, which models were not trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)
