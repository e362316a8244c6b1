"""The turns of a chat as OpenAI's clients send them, answers that they send back among them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from appliance.domain import Message, Role, ToolCall

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class CalledFunction(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    arguments: str = Field(description="JSON text, as the model wrote it.")


class MadeCall(BaseModel):
    """`index` is what clients leave in a call that they have put together from a stream."""

    model_config = ConfigDict(extra="forbid")

    id: Id
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None

    def call(self) -> ToolCall:
        return ToolCall(self.id, self.function.name, self.function.arguments)


class ChatMessage(BaseModel):
    """`name` is accepted and not shown to the model; so are fields of an answer that are empty."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[MadeCall] | None = None
    tool_call_id: Id | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> ChatMessage:
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing; only a turn with tool_calls may go without it")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls belong to a turn of the assistant")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ValueError("tool_call_id belongs to a turn of a tool, which cannot do without it")
        return self

    def message(self) -> Message:
        role: Role = "system" if self.role == "developer" else self.role
        content = self.content or ""
        return Message(
            role,
            content if isinstance(content, str) else "".join(part.text for part in content),
            reasoning=(self.reasoning or self.reasoning_content) if role == "assistant" else None,
            tool_calls=tuple(made.call() for made in self.tool_calls or ()),
            tool_call_id=self.tool_call_id,
        )
