"""OpenAI's request bodies, as vLLM extends them; what nobody here can obey is refused by name.

Parameters that ask for what happens anyway (`store: false`, the default `service_tier`) and those
that ask for nothing from the model (`user`, `metadata`) are accepted. What an engine lacks is
refused by the engine.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from appliance.api.formats import FormatFields
from appliance.api.openai_messages import ChatMessage
from appliance.api.openai_tools import ToolFields
from appliance.api.sampling import SamplingFields
from appliance.api.thinking import TemplateSwitches, ThinkingFields
from appliance.domain import GenerationRequest

CHAT_EXAMPLE: dict[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "max_tokens": 120,
}
TOOL_EXAMPLE: dict[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather of a city now.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
    "tool_choice": "required",
}
COMPLETION_EXAMPLE: dict[str, Any] = {
    "model": "auto",
    "prompt": "Once upon a time",
    "max_tokens": 40,
}
SEVERAL_EXAMPLE: dict[str, Any] = {
    "model": "auto",
    "prompt": ["The sea is", "The sky is"],
    "max_tokens": 1,
    "echo": True,
}
MODEL = Field(None, description="A name from /v1/models, or auto.")
MAX_CHOICES = 16
MAX_PROMPTS = 128
MAX_TOP_LOGPROBS = 20
Text = Annotated[str, Field(min_length=1)]
Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Several = Annotated[list[Text] | list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool | None = False
    include_obfuscation: Literal[False] | None = None
    continuous_usage_stats: Literal[False] | None = None


class OpenAIFields(SamplingFields, FormatFields):
    """What chat and plain completions have in common."""

    model: str | None = MODEL
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MAX_CHOICES, description="Answers to one question.")
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ChatCompletionRequest(OpenAIFields, ToolFields, ThinkingFields):
    model_config = ConfigDict(json_schema_extra={"examples": [CHAT_EXAMPLE, TOOL_EXAMPLE]})

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    chat_template_kwargs: TemplateSwitches | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS, description="Needs logprobs.")
    store: Literal[False] | None = None
    verbosity: Literal["medium"] | None = None
    modalities: list[Literal["text"]] | None = None

    @field_validator("top_logprobs")
    @classmethod
    def _with_logprobs(cls, number: int | None, info: ValidationInfo) -> int | None:
        if number is not None and not info.data.get("logprobs"):
            raise ValueError("needs logprobs to be true")
        return number

    def generation_requests(self, adapter: str | None = None) -> list[GenerationRequest]:
        switches = self.chat_template_kwargs
        request = GenerationRequest(
            prompt=tuple(message.message() for message in self.messages),
            sampling=self.sampling(max_tokens=self.max_completion_tokens or self.max_tokens),
            choices=self.n or 1,
            enable_thinking=self.thinks(switches.enable_thinking if switches else None),
            thinking_budget=self.budget,
            tools=self.offered(),
            tool_choice=self.choice(),
            parallel_tool_calls=self.parallel_tool_calls is not False,
            constraint=self.constraint(),
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            adapter=adapter,
        )
        return [request]


class CompletionRequest(OpenAIFields):
    """Each of several prompts is a generation of its own, with a row and a place in the queue."""

    model_config = ConfigDict(json_schema_extra={"examples": [COMPLETION_EXAMPLE, SEVERAL_EXAMPLE]})

    prompt: Text | Tokens | Several = Field(
        description="A text or a list of token ids, or a list of such prompts."
    )
    max_tokens: int | None = Field(16, ge=1, description="Most tokens of the answer.")
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    echo: bool | None = Field(
        None, description="Say the prompt again before its answer, with its logprobs if asked for."
    )
    best_of: Literal[1] | None = None
    suffix: None = None

    def generation_requests(self, adapter: str | None = None) -> list[GenerationRequest]:
        """One for each prompt."""
        return [
            GenerationRequest(
                prompt=prompt if isinstance(prompt, str) else "",
                token_ids=() if isinstance(prompt, str) else tuple(prompt),
                sampling=self.sampling(),
                choices=self.n or 1,
                constraint=self.constraint(),
                top_logprobs=self.logprobs,
                adapter=adapter,
                echo=bool(self.echo),
            )
            for prompt in self._prompts()
        ]

    def _prompts(self) -> list[str | list[int]]:
        given: Any = self.prompt
        several = isinstance(given, list) and not isinstance(given[0], int)
        return given if several else [given]
