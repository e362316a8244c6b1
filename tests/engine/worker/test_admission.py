"""What fits is admitted to the last token; what does not is refused with the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.worker.admission import Admission
from appliance.engine.worker.sampling import (
    NEUTRAL,
    SAMPLING_PARAMETERS,
    default_sampling,
    resolve_sampling,
)
from appliance.engine.worker.wire import error_body
from appliance.errors import ContextExceeded, InvalidRequest, UnsupportedParameter

sizes = st.integers(1, 10_000)


@given(context=sizes, kv=sizes, prompt=sizes, wish=st.none() | sizes)
def test_admitted_means_that_it_fits(context: int, kv: int, prompt: int, wish: int | None) -> None:
    limit = min(context, kv)
    admission = Admission(context, kv)
    if prompt + (wish or 1) <= limit:
        granted = admission.admit(prompt, wish)
        assert granted == (wish or limit - prompt)
        return
    with pytest.raises(ContextExceeded) as caught:
        admission.admit(prompt, wish)
    error = error_body(caught.value)["error"]
    assert error["code"] == "context_length_exceeded"
    assert (error["prompt_tokens"], error["limit"]) == (prompt, limit)
    assert str(prompt) in error["message"]
    assert str(limit) in error["message"]


def test_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        Admission(100, 100).admit(0, 5)


def test_asked_goes_before_recommended() -> None:
    defaults = default_sampling({"temperature": 0.6, "top_k": 20}, SAMPLING_PARAMETERS)
    resolved = resolve_sampling({"temperature": 0.0, "top_p": None}, defaults, SAMPLING_PARAMETERS)
    assert (resolved.temperature, resolved.top_k, resolved.top_p) == (0.0, 20, 1.0)
    assert resolved.greedy


def test_what_a_backend_cannot_do_is_refused_unless_it_changes_nothing() -> None:
    less = SAMPLING_PARAMETERS - {"min_p"}
    assert resolve_sampling({"min_p": 0.0}, NEUTRAL, less) == NEUTRAL
    assert default_sampling({"min_p": 0.1, "top_p": 0.5}, less).min_p == 0.0
    with pytest.raises(UnsupportedParameter, match="min_p") as caught:
        resolve_sampling({"min_p": 0.1}, NEUTRAL, less)
    assert caught.value.param == "min_p"
