"""What a library raises while it loads, in the words that the owner reads."""

from __future__ import annotations

import errno

import pytest

from appliance.engine.deaths import failure
from appliance.engine.worker.failure import explain


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "load_failed",
            "The model could not be loaded: The disk is full.",
        ),
        (
            RuntimeError("no  such\n layer"),
            "load_failed",
            "The model could not be loaded: no such layer",
        ),
        (
            RuntimeError("std::bad_alloc"),
            "out_of_memory",
            "The memory does not suffice: std::bad_alloc",
        ),
        (
            KeyError(),
            "load_failed",
            "The model could not be loaded: KeyError",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_reason_is_said_once(error: Exception, code: str, words: str) -> None:
    explained = explain(error)
    assert explained.code == code
    end = failure({"code": explained.code, "message": str(explained)})
    assert str(end.reason) == words
