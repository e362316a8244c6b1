"""What was asked for is recorded whole, so that the same request can be made of its row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.domain import Constraint, GenerationRequest, Message, NamedTool, Sampling, Tool
from appliance.errors import InvalidRequest
from appliance.gateway.replay import Changes, again
from tests.gateway.house import House

pytestmark = pytest.mark.anyio

HELLO = GenerationRequest(prompt=(Message("user", "say Hello"),), sampling=Sampling(seed=1))
LOOK = Tool("look", "Looks it up.", {"type": "object", "properties": {}}, strict=True)
BEGUN = (*HELLO.prompt, Message("assistant", "Hel"))
ASKED = (
    replace(HELLO, tools=(LOOK, Tool("find")), tool_choice=NamedTool("find")),
    replace(HELLO, tools=(Tool("find", "", {}),), tool_choice="none", parallel_tool_calls=False),
    replace(HELLO, choices=3, top_logprobs=2, thinking_budget=0),
    replace(HELLO, constraint=Constraint("json_schema", {"type": "object"})),
    replace(HELLO, constraint=Constraint("json_schema", {})),
    replace(HELLO, constraint=Constraint("regex", r"\d+")),
    replace(HELLO, constraint=Constraint("choice", ("是", "no"))),
    replace(HELLO, constraint=Constraint("json_object")),
    replace(HELLO, prompt=BEGUN, continue_final_message=True),
)


@pytest.mark.parametrize("request_", ASKED)
async def test_a_row_becomes_the_request_that_it_was(
    house: House, request_: GenerationRequest
) -> None:
    house.open(request_)
    (row,) = await house.rows()
    assert again(row, Changes()) == request_


@pytest.mark.parametrize("request_", [ASKED[0], ASKED[3]])
async def test_a_row_of_an_earlier_version_is_refused_by_name(
    house: House, request_: GenerationRequest
) -> None:
    house.open(request_)
    (row,) = await house.rows()
    row.tools = row.form = None
    with pytest.raises(InvalidRequest, match=r"tools or a form.*earlier version"):
        again(row, Changes())
