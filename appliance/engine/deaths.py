"""How one life of an engine process ended, in words and as a cause that can be counted."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from appliance.domain import Phrase
from appliance.engine.status import Cause

# A signal's exit status as the parent sees it, and as a shell or a wrapper passes it on.
KILLED = (-9, 128 + 9)


@dataclass(frozen=True, slots=True)
class End:
    """`code` is set when the process itself said why it cannot load.

    `served_seconds` is None when it never became ready.
    """

    reason: Phrase
    code: str | None = None
    cause: Cause = "crashed"
    served_seconds: float | None = None

    @property
    def memory_ran_out(self) -> bool:
        """The operating system ends what takes too much memory without letting it speak; of an
        engine that was serving, anybody may be the one who killed it."""
        return self.cause == "memory" or (self.cause == "killed" and self.served_seconds is None)


def failure(event: dict[str, Any]) -> End:
    """The end that a `failed` event announces."""
    code = str(event.get("code", "load_failed"))
    reasons = {
        "hub_unreachable": (
            "The model hub cannot be reached. --hub-endpoint names another one: the address of a "
            "mirror, or modelscope."
        ),
        "model_missing": "The model was not found: %(message)s",
        "model_gated": "The model hub asks who you are: %(message)s",
        "model_corrupt": "The model file is damaged: %(message)s",
        "out_of_memory": "The memory does not suffice: %(message)s",
        "missing_package": "A package is missing: %(message)s",
    }
    template = reasons.get(code, "The model could not be loaded: %(message)s")
    return End(Phrase(template, {"message": event.get("message", "")}), code=code)


def collapse(event: dict[str, Any], served_seconds: float | None) -> End:
    """The end that a `died` event announces: it was serving and cannot go on."""
    words = {"message": event.get("message", "")}
    if event.get("out_of_memory"):
        reason = Phrase("The memory ran out while the engine was answering: %(message)s", words)
        return End(reason, cause="memory", served_seconds=served_seconds)
    reason = Phrase("The engine failed and cannot go on: %(message)s", words)
    return End(reason, served_seconds=served_seconds)


def death(status: int, last_words: str, served_seconds: float | None) -> End:
    """An end without an announcement. `status` is the exit status, negative for a signal."""
    if status in KILLED:
        reason = Phrase("The engine was killed, most likely because the memory ran out.")
        return End(reason, cause="killed", served_seconds=served_seconds)
    words = {"status": _named(status), "words": last_words or "–"}
    reason = Phrase("The engine ended with status %(status)s: %(words)s", words)
    return End(reason, served_seconds=served_seconds)


def _named(status: int) -> str:
    """An exit status; a signal with the name that a search finds."""
    try:
        return f"{status} ({signal.Signals(-status).name})"
    except ValueError:
        return str(status)


def hang(silent_seconds: float, served_seconds: float | None) -> End:
    """A process that was ended because it no longer answered."""
    reason = Phrase(
        "The engine did not answer for %(seconds)s seconds and was ended.",
        {"seconds": round(silent_seconds)},
    )
    return End(reason, cause="hung", served_seconds=served_seconds)
