"""The form that an answer must have, as OpenAI and as vLLM say it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from appliance.domain import Constraint

Schema = dict[str, Any]
Text = Annotated[str, StringConstraints(min_length=1)]
MAX_CHOICES = 1024


class NamedSchema(BaseModel):
    """`strict` changes nothing: a schema is always obeyed."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str | None = None
    json_schema: Schema = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = Field(None, validate_default=True)

    @field_validator("json_schema")
    @classmethod
    def _with_its_type(cls, given: NamedSchema | None, info: ValidationInfo) -> NamedSchema | None:
        if (info.data.get("type") == "json_schema") != (given is not None):
            raise ValueError("belongs to the type json_schema, which needs it")
        return given

    def constraint(self) -> Constraint | None:
        if self.json_schema is not None:
            return Constraint("json_schema", self.json_schema.json_schema)
        return Constraint("json_object") if self.type == "json_object" else None


class StructuredOutputs(BaseModel):
    """vLLM's: exactly one of its fields. A schema may also come as JSON text."""

    model_config = ConfigDict(extra="forbid")

    json_schema: Schema | Json[Schema] | None = Field(None, alias="json")
    regex: Text | None = None
    choice: Annotated[list[Text], Field(min_length=1, max_length=MAX_CHOICES)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> StructuredOutputs:
        if sum(value is not None for value in (self.json_schema, self.regex, self.choice)) != 1:
            raise ValueError("give exactly one of json, regex and choice")
        return self

    def constraint(self) -> Constraint:
        field = "structured_outputs"
        if self.json_schema is not None:
            return Constraint("json_schema", self.json_schema, field)
        if self.regex is not None:
            return Constraint("regex", self.regex, field)
        return Constraint("choice", tuple(self.choice or ()), field)


class FormatFields(BaseModel):
    response_format: ResponseFormat | None = Field(
        None, description="text, json_object, or json_schema with the schema to obey."
    )
    structured_outputs: StructuredOutputs | None = Field(
        None, description="vLLM's: json (a schema), regex, or choice (a list of texts)."
    )

    @field_validator("structured_outputs")
    @classmethod
    def _one_form(
        cls, given: StructuredOutputs | None, info: ValidationInfo
    ) -> StructuredOutputs | None:
        other: ResponseFormat | None = info.data.get("response_format")
        if given is not None and other is not None and other.constraint() is not None:
            raise ValueError("give response_format or structured_outputs, not both")
        return given

    def constraint(self) -> Constraint | None:
        if self.structured_outputs is not None:
            return self.structured_outputs.constraint()
        return self.response_format.constraint() if self.response_format is not None else None
