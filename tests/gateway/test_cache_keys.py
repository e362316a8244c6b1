"""What makes two requests the same one, and what is kept of an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.domain import (
    ChoiceFinished,
    Constraint,
    Delta,
    GenerationRequest,
    Message,
    ReasoningDelta,
    Sampling,
    TextDelta,
    TokenLogprob,
    Tool,
    ToolCallDelta,
)
from appliance.engine.config import EngineFacts
from appliance.gateway.cache import cache_key, merged
from tests.gateway.house import GREEDY

FACTS = EngineFacts(
    model="m", backend="openvino", engine_version="1", precision="gguf", context_length=100,
    kv_tokens=100, max_concurrency=1, capabilities=(), load_seconds=1.5,
)  # fmt: skip
ASKED = GenerationRequest(prompt=(Message("user", "Hi"),), sampling=GREEDY)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), False),
        (Sampling(temperature=0.0), True),
        (Sampling(temperature=0.7), False),
        (Sampling(temperature=0.7, seed=0), True),
        (Sampling(seed=1), True),
    ],
)
def test_only_what_would_be_said_again_is_kept(sampling: Sampling, kept: bool) -> None:
    key = cache_key(replace(ASKED, sampling=sampling), "anna", FACTS)
    assert (key is not None) is kept
    assert cache_key(ASKED, "anna", None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": (Message("user", "Ho"),)},
        {"prompt": "Hi"},
        {"prompt": (Message("user", "Hi", "because"),)},
        {"sampling": Sampling(temperature=0.0, max_tokens=9)},
        {"choices": 2},
        {"enable_thinking": False},
        {"thinking_budget": 1},
        {"tools": (Tool("a"),)},
        {"tool_choice": "none"},
        {"constraint": Constraint("json_object")},
        {"constraint": Constraint("json_schema", {"a": {}, "b": {}})},
        {"constraint": Constraint("json_schema", {"b": {}, "a": {}})},
        {"top_logprobs": 0},
        {"adapter": "poet"},
    ],
)
def test_every_part_of_a_request_counts(change: dict[str, Any]) -> None:
    others = {cache_key(ASKED, "anna", FACTS)}
    others |= {cache_key(replace(ASKED, constraint=c), "anna", FACTS) for c in _OTHER_FORMS}
    assert cache_key(replace(ASKED, **change), "anna", FACTS) not in others


_OTHER_FORMS = (Constraint("json_schema", {"c": {}}), Constraint("regex", "a"))


def test_the_order_of_a_schemas_properties_counts() -> None:
    forms = [
        Constraint("json_schema", dict(p)) for p in ((("a", 1), ("b", 2)), (("b", 2), ("a", 1)))
    ]
    one, other = (cache_key(replace(ASKED, constraint=form), "anna", FACTS) for form in forms)
    assert one != other


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"precision": "int8"},
        {"engine_version": "2"},
        {"backend": "transformers"},
        {"load_seconds": 1.6},
    ],
)
def test_another_engine_or_another_load_of_it_gives_another_answer(change: dict[str, Any]) -> None:
    key = cache_key(ASKED, "anna", FACTS)
    assert cache_key(ASKED, "anna", replace(FACTS, **change)) != key
    assert cache_key(replace(ASKED), "anna", replace(FACTS)) == key
    assert cache_key(ASKED, "ben", FACTS) != key


def test_a_kept_answer_is_as_short_as_can_be_and_says_the_same() -> None:
    score = TokenLogprob("a", -1.0)
    said: list[Delta | ChoiceFinished] = [
        ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("x", 1), TextDelta("a", 0, (score,)),
        TextDelta("b", 0, (score,)), ToolCallDelta(0, "i", "look"), TextDelta("y", 1),
        ToolCallDelta(0, arguments="{"), ToolCallDelta(0, arguments="}"),
        ToolCallDelta(1, "j", "find", "{}"), ChoiceFinished("tool_calls", 0),
        ChoiceFinished("stop", 1),
    ]  # fmt: skip
    assert merged(said) == (
        ReasoningDelta("hm"), TextDelta("ab", 0, (score, score)),
        ToolCallDelta(0, "i", "look", "{}"), ToolCallDelta(1, "j", "find", "{}"),
        ChoiceFinished("tool_calls", 0), TextDelta("xy", 1), ChoiceFinished("stop", 1),
    )  # fmt: skip


# --- Given again -------------------------------------------------------------------------------
