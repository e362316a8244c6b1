"""Whose fault a refusal is, and what is said of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.engine.wire_refusal import refusal
from appliance.errors import (
    ApplianceError,
    ContextExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidRequest,
    NotFound,
    UnsupportedParameter,
)


def refused(status: int, **error: Any) -> ApplianceError:
    return refusal(status, json.dumps({"error": error}).encode())


def test_an_unsupported_parameter_keeps_its_name() -> None:
    error = refused(400, message="No min_p here.", param="min_p", code="unsupported_parameter")
    assert isinstance(error, UnsupportedParameter)
    assert (error.param, str(error)) == ("min_p", "No min_p here.")


def test_too_long_says_the_numbers() -> None:
    numbers = {"prompt_tokens": 9, "max_tokens": 1, "limit": 8}
    error = refused(400, message="x", code="context_length_exceeded", **numbers)
    assert isinstance(error, ContextExceeded)
    assert error.phrase.values == numbers


def test_llamas_word_for_too_long_is_understood() -> None:
    error = refused(
        400,
        code=400,
        message="request (60031 tokens) exceeds the available context size (8192 tokens)",
        type="exceed_context_size_error",
        n_prompt_tokens=60031,
        n_ctx=8192,
    )
    assert isinstance(error, ContextExceeded)
    assert (error.phrase.values["prompt_tokens"], error.phrase.values["limit"]) == (60031, 8192)


def test_a_model_that_is_gone_is_not_a_wrong_address() -> None:
    vllm = refused(404, message="The model `x` does not exist.", param="model", code=404)
    assert isinstance(vllm, NotFound)
    assert vllm.param == "model"
    elsewhere = refusal(404, b'{"detail":"Not Found"}')
    assert isinstance(elsewhere, EngineFailed)
    assert "--engine-url" in str(elsewhere)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"no"', b'{"error":"no"}', b"\xff\xfe"])
@pytest.mark.parametrize("status", [302, 400, 418, 500, 503])
def test_whatever_a_server_says_is_one_of_our_errors(status: int, body: bytes) -> None:
    error = refusal(status, body)
    kinds = {400: InvalidRequest, 503: EngineUnavailable}
    assert type(error) is kinds.get(status, EngineFailed)
    assert str(error).strip()


def test_a_page_of_html_is_cut() -> None:
    assert len(str(refusal(500, b"x" * 100_000))) < 400
