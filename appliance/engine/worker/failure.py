"""A model that cannot be loaded, with the code that the parent acts on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeAlias

from appliance.engine.config import FailureCode, Stage

# Called from any thread with (stage, done, total); total 0 means that nobody knows.
Progress: TypeAlias = Callable[[Stage, int, int], None]
# As the allocators of C++, PyTorch and OpenVINO put it.
_NO_MEMORY = ("bad_alloc", "can't alloc", "failed to allocate", "out of memory")


class LoadFailure(Exception):
    """`code` is for the parent's decision, and for its words before the sentence.

    The sentence is for the person who reads the page.
    """

    def __init__(self, code: FailureCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code: FailureCode = code


def explain(error: BaseException) -> LoadFailure:
    """Any error of a library while it loads, as one of our codes and a sentence."""
    if isinstance(error, LoadFailure):
        return error
    detail = in_short(error)
    if isinstance(error, ModuleNotFoundError):
        return LoadFailure(
            "missing_package",
            f"The Python package {error.name} is not installed. Start the appliance with its "
            "launcher, which installs what this engine needs.",
        )
    if is_out_of_memory(error):
        return LoadFailure("out_of_memory", detail)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LoadFailure("load_failed", "The disk is full.")
    if type(error).__name__ == "SafetensorError":
        return LoadFailure("model_corrupt", f"A weights file is damaged: {detail}")
    return LoadFailure("load_failed", detail)


def in_short(error: BaseException) -> str:
    """Its words in one line that fits onto a page; its kind, when it has none."""
    return " ".join(str(error).split())[:400] or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's and torch's own classes and for what C++ allocators say, without importing
    torch."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(sign in text for sign in _NO_MEMORY)
    )
