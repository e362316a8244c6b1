"""What both generating routes may be asked. A field that is not here is refused by name, never
ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from appliance.domain import Constraint, Sampling
from appliance.errors import InvalidRequest

MAX_STOPS = 4
MAX_CHOICES = 16
MAX_TOP_LOGPROBS = 20
StopString = Annotated[str, Field(min_length=1, max_length=200)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
TopLogprobs = Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)]
TokenId = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(Strict):
    include_usage: bool = False


class NamedSchema(Strict):
    """`strict` changes nothing: a schema always holds."""

    name: str = "answer"
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema must be given with the type json_schema, and only then")
        return self

    def constraint(self) -> Constraint | None:
        if self.json_schema is not None:
            return Constraint("json_schema", self.json_schema.schema_)
        return Constraint("json_object") if self.type == "json_object" else None


class StructuredOutputs(Strict):
    json_: Annotated[dict[str, Any] | None, Field(alias="json")] = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    choice: Annotated[list[str], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> StructuredOutputs:
        if sum(value is not None for value in (self.json_, self.regex, self.choice)) != 1:
            raise ValueError("exactly one of json, regex and choice must be given")
        return self

    def constraint(self) -> Constraint:
        if self.json_ is not None:
            return Constraint("json_schema", self.json_)
        if self.regex is not None:
            return Constraint("regex", self.regex)
        return Constraint("choice", tuple(self.choice or ()))


class Generation(Strict):
    """Common to both routes. `user` changes nothing; a `model` that is no adapter's name means the
    model itself, whatever it says."""

    model: str | None = None
    user: str | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
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
    logit_bias: dict[str, Bias] | None = None
    stop: Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("logit_bias")
    @classmethod
    def _token_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for token in value or ():
            if not token.isdecimal():
                raise ValueError(f"{token!r} is no token id; write a whole number")
        return value

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, max_tokens: int | None) -> Sampling:
        bias = self.logit_bias
        return Sampling(
            max_tokens=max_tokens,
            stop=tuple(self.stop or ()),
            logit_bias={int(token): value for token, value in bias.items()} if bias else None,
            **{name: getattr(self, name) for name in _AS_NAMED},
        )

    def constraint(self) -> Constraint | None:
        """Raises InvalidRequest when two are given."""
        wished = None if self.response_format is None else self.response_format.constraint()
        if self.structured_outputs is None:
            return wished
        if wished is not None:
            raise InvalidRequest(
                "response_format and structured_outputs both ask for a form. Leave out one of "
                "them.",
                param="structured_outputs",
            )
        return self.structured_outputs.constraint()

    @property
    def constraint_field(self) -> str:
        return "response_format" if self.structured_outputs is None else "structured_outputs"


_AS_NAMED = frozenset(Sampling.__dataclass_fields__) - {"max_tokens", "stop", "logit_bias"}


class CompletionRequest(Generation):
    prompt: str | list[TokenId]
    echo: bool | None = None
    best_of: Literal[1] | None = None
    logprobs: TopLogprobs | None = None
