"""Tools as OpenAI's clients declare them, and which of them is to be called."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from appliance.domain import NamedTool, Tool, ToolChoice

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]
MAX_TOOLS = 128


class Function(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="A JSON schema.")
    strict: bool | None = None


class FunctionTool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: Function

    def tool(self) -> Tool:
        f = self.function
        return Tool(f.name, f.description, f.parameters, strict=bool(f.strict))


class FunctionName(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name


class NamedChoice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: FunctionName


Choice = Literal["none", "auto", "required"] | NamedChoice | None


class ToolFields(BaseModel):
    tools: list[FunctionTool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Choice = Field(None, description="auto where tools are given.")
    parallel_tool_calls: bool | None = Field(None, description="false: at most one call.")

    @field_validator("tools")
    @classmethod
    def _names_differ(cls, tools: list[FunctionTool] | None) -> list[FunctionTool] | None:
        names = [each.function.name for each in tools or ()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the name {min(twice)!r} is given twice")
        return tools

    @field_validator("tool_choice")
    @classmethod
    def _among_the_tools(cls, choice: Choice, info: ValidationInfo) -> Choice:
        if "tools" not in info.data:
            return choice  # they are wrong themselves, which is said already
        names = [each.function.name for each in info.data["tools"] or ()]
        if choice == "required" and not names:
            raise ValueError("required needs tools")
        if isinstance(choice, NamedChoice) and choice.function.name not in names:
            raise ValueError(f"there is no tool {choice.function.name!r} in tools")
        return choice

    def offered(self) -> tuple[Tool, ...]:
        return tuple(each.tool() for each in self.tools or ())

    def choice(self) -> ToolChoice:
        if isinstance(self.tool_choice, NamedChoice):
            return NamedTool(self.tool_choice.function.name)
        return self.tool_choice or "auto"
