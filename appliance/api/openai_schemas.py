"""OpenAI's request bodies, as far as the engine can obey them; the rest is refused by name.

Parameters that only ask for what happens anyway (`n` = 1, no log-probabilities, text as the
response format) and those that ask for nothing from the model (`user`, `metadata`) are accepted.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from appliance.api.sampling import SamplingFields
from appliance.domain import GenerationRequest, Message, Role

CHAT_EXAMPLE: dict[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "max_tokens": 120,
}
COMPLETION_EXAMPLE: dict[str, Any] = {
    "model": "auto",
    "prompt": "Once upon a time",
    "max_tokens": 40,
}
MODEL = Field(None, description="A name from /v1/models, or auto.")


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]


class OpenAIFields(SamplingFields):
    """What chat and plain completions have in common."""

    model: str | None = MODEL
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """`name` and earlier thinking are accepted in a history and not shown to the model."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: None = None

    def message(self) -> Message:
        role: Role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, str):
            return Message(role, self.content)
        return Message(role, "".join(part.text for part in self.content))


class TemplateSwitches(BaseModel):
    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None


class ChatCompletionRequest(OpenAIFields):
    model_config = ConfigDict(json_schema_extra={"examples": [CHAT_EXAMPLE]})

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    chat_template_kwargs: TemplateSwitches | None = None
    response_format: ResponseFormat | None = None
    logprobs: Literal[False] | None = None
    store: Literal[False] | None = None

    def generation_request(self) -> GenerationRequest:
        switches = self.chat_template_kwargs
        return GenerationRequest(
            prompt=tuple(message.message() for message in self.messages),
            sampling=self.sampling(max_tokens=self.max_completion_tokens or self.max_tokens),
            enable_thinking=switches.enable_thinking if switches else None,
        )


class CompletionRequest(OpenAIFields):
    model_config = ConfigDict(json_schema_extra={"examples": [COMPLETION_EXAMPLE]})

    prompt: str
    max_tokens: int | None = Field(16, ge=1, description="Most tokens of the answer.")
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    logprobs: None = None
    suffix: None = None

    @model_validator(mode="before")
    @classmethod
    def _one_prompt(cls, values: Any) -> Any:
        """A list with one prompt is what some clients send for one prompt."""
        if isinstance(values, dict):
            prompt = values.get("prompt")
            if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
                return {**values, "prompt": prompt[0]}
        return values

    @field_validator("prompt")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("the prompt is empty")
        return value

    def generation_request(self) -> GenerationRequest:
        return GenerationRequest(prompt=self.prompt, sampling=self.sampling())
