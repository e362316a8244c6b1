"""What the chat route may be asked besides: turns, tools and thinking."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import from_json

from appliance.domain import Message, NamedTool, Role, Tool, ToolCall, ToolChoice
from appliance.engine.worker.schemas import Generation, Strict, TopLogprobs
from appliance.errors import InvalidRequest

MAX_TOOLS = 128
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
Budget = Annotated[int, Field(ge=0)]
# Tokens of thinking; None: no limit but the answer's.
EFFORTS: dict[str, int | None] = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 4096,
    "high": None,
    "xhigh": None,
}


class TextPart(Strict):
    type: Literal["text"]
    text: str


class CalledFunction(Strict):
    name: ToolName
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _json_object(cls, value: str) -> str:
        if not isinstance(from_json(value or "{}"), dict):
            raise ValueError("arguments must be the JSON text of an object")
        return value or "{}"


class CallCard(Strict):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None  # left over when a client has put a stream together

    def call(self) -> ToolCall:
        return ToolCall(self.id, self.function.name, self.function.arguments)


class Turn(Strict):
    role: Role | Literal["developer"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallCard] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _fields_of_its_role(self) -> Turn:
        own = self.tool_calls or self.reasoning or self.reasoning_content
        if own and self.role != "assistant":
            raise ValueError("only an assistant's turn has tool_calls or reasoning")
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError("only a tool's turn has a tool_call_id")
        if self.content is None and not self.tool_calls:
            raise ValueError("content may only be left out beside tool_calls")
        return self

    def message(self) -> Message:
        content = self.content or ""
        return Message(
            "system" if self.role == "developer" else self.role,
            content if isinstance(content, str) else "".join(part.text for part in content),
            reasoning=self.reasoning or self.reasoning_content,
            tool_calls=tuple(card.call() for card in self.tool_calls or ()),
            tool_call_id=self.tool_call_id,
        )


class Function(Strict):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolCard(Strict):
    type: Literal["function"]
    function: Function

    def tool(self) -> Tool:
        function = self.function
        return Tool(function.name, function.description, function.parameters, bool(function.strict))


class FunctionName(Strict):
    name: str


class ChosenTool(Strict):
    type: Literal["function"]
    function: FunctionName


class TemplateSwitches(Strict):
    enable_thinking: bool | None = None


class WithTools(Strict):
    """Tools as several routes take them."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    tools: Annotated[list[ToolCard], Field(max_length=MAX_TOOLS)] | None = None
    chat_template_kwargs: TemplateSwitches = TemplateSwitches()

    @field_validator("tools")
    @classmethod
    def _names_differ(cls, value: list[ToolCard] | None) -> list[ToolCard] | None:
        names = [card.function.name for card in value or ()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two tools are called {twice}; give each a name of its own")
        return value

    def turns(self) -> tuple[Message, ...]:
        return tuple(turn.message() for turn in self.messages)

    def offered(self) -> tuple[Tool, ...]:
        return tuple(card.tool() for card in self.tools or ())


class ChatRequest(Generation, WithTools):
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    thinking_budget: Budget | None = None
    thinking_token_budget: Budget | None = None
    # vLLM's names: it wants both to be said.
    continue_final_message: bool = False
    add_generation_prompt: bool | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None

    @model_validator(mode="after")
    def _an_answer_that_goes_on(self) -> ChatRequest:
        goes_on = self.continue_final_message
        if goes_on and self.messages[-1].role != "assistant":
            raise ValueError("continue_final_message needs an assistant's turn at the end")
        if self.add_generation_prompt is goes_on:
            raise ValueError("add_generation_prompt must be the opposite of continue_final_message")
        return self

    def wanted_scores(self) -> int | None:
        """How many likeliest tokens to name; None: no log-probabilities. Raises InvalidRequest."""
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest("top_logprobs needs logprobs to be true.", param="top_logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None

    def choice(self) -> ToolChoice:
        if isinstance(self.tool_choice, ChosenTool):
            return NamedTool(self.tool_choice.function.name)
        return self.tool_choice or "auto"

    def thinking(self) -> tuple[bool | None, int | None]:
        """The switch and the budget. What is said in numbers wins over an effort."""
        switch, effort = self.chat_template_kwargs.enable_thinking, self.reasoning_effort
        budget = self.thinking_budget
        if budget is None:
            budget = self.thinking_token_budget
        if effort is None:
            return switch, budget
        if switch is None:
            switch = effort != "none"
        elif switch and effort == "none":
            return switch, budget
        return switch, EFFORTS[effort] if budget is None else budget

    def thinking_fields(self) -> dict[str, str]:
        """Where the caller wrote what became switch and budget."""
        fields = {}
        if self.reasoning_effort is not None:
            if self.chat_template_kwargs.enable_thinking is None:
                fields["enable_thinking"] = "reasoning_effort"
            fields["thinking_budget"] = "reasoning_effort"
        if self.thinking_budget is not None:
            fields["thinking_budget"] = "thinking_budget"
        elif self.thinking_token_budget is not None:
            fields["thinking_budget"] = "thinking_token_budget"
        return fields
