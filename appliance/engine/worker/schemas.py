"""What may be asked over the wire. A field that is not here is refused by name, never ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from appliance.domain import Message, Role
from appliance.errors import InvalidRequest, UnsupportedParameter

MAX_STOPS = 4
Request = TypeVar("Request", bound=BaseModel)
StopString = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(_Strict):
    include_usage: bool = False


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class Turn(_Strict):
    role: Role | Literal["developer"]
    content: str | list[TextPart]

    def message(self) -> Message:
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return Message("system" if self.role == "developer" else self.role, text)


class TemplateSwitches(_Strict):
    enable_thinking: bool | None = None


class _Generation(_Strict):
    """Common to both routes. `model` and `user` change nothing; the rest of the fields without
    effect are accepted with the one value that asks for nothing."""

    model: str | None = None
    user: str | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    stop: Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self) -> dict[str, Any]:
        return self.model_dump(include=_SAMPLING, exclude_none=True)


_SAMPLING = {
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
}


class ChatRequest(_Generation):
    messages: Annotated[list[Turn], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    chat_template_kwargs: TemplateSwitches = TemplateSwitches()
    logprobs: Literal[False] | None = None


class CompletionRequest(_Generation):
    prompt: str
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    logprobs: None = None


def parse(kind: type[Request], body: bytes) -> Request:
    """Raises InvalidRequest or UnsupportedParameter, naming the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> InvalidRequest:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "json_invalid":
        return InvalidRequest("The body is not JSON: %(reason)s", reason=problem["msg"])
    if problem["type"] == "extra_forbidden":
        return UnsupportedParameter(
            "This engine does not know the parameter %(parameter)s. Leave it out.",
            param=field,
            parameter=field,
        )
    return InvalidRequest(
        "%(parameter)s: %(reason)s.", param=field, parameter=field, reason=problem["msg"]
    )
