"""What the log of a vLLM server says: how far it is, and why it could not start. Pure text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from appliance.engine.config import FailureCode, Stage

_SHARDS = re.compile(r"Loading \w+ checkpoint shards:\s+\d+% Completed \| (\d+)/(\d+)")
_WARMING = re.compile(r"Capturing CUDA graph|Warming up model|torch\.compile takes|Graph capturing")
_ERROR = re.compile(r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception)): (.+)")
# What only repeats that something else has failed.
_ECHO = re.compile(r"Engine core initialization failed|Engine process failed|WorkerProc init")

_NO_MEMORY = (
    r"out of memory|No available memory for the cache blocks|is less than desired \w+ memory|"
    r"larger than the available KV cache memory|bad_alloc|can't allocate memory"
)
_SIGNS: tuple[tuple[FailureCode, str], ...] = (
    ("out_of_memory", _NO_MEMORY),
    ("hub_unreachable", r"ConnectionError|LocalEntryNotFound|Max retries exceeded|NameResolution"),
    ("model_gated", r"GatedRepo|gated repo|401 Client Error"),
    ("model_missing", r"RepositoryNotFound|is not a local folder and is not a valid model"),
    ("model_corrupt", r"SafetensorError|HeaderTooLarge|InvalidHeader"),
    ("missing_package", r"No module named|ModuleNotFoundError"),
)


def progress(line: str) -> tuple[Stage, int, int] | None:
    """The stage and how much of it is done, when this line tells."""
    if found := _SHARDS.search(line):
        return "load", int(found[1]), int(found[2])
    return ("warm_up", 0, 0) if _WARMING.search(line) else None


def why_not(lines: Sequence[str]) -> tuple[FailureCode, str]:
    """Why it could not start: the code to act on, and the line that says it."""
    told = [found for line in lines if (found := _ERROR.search(line)) and not _ECHO.search(line)]
    # The root cause is raised first; what follows was raised because of it.
    reason = told[0] if told else None
    message = f"{reason[1]}: {reason[2]}" if reason else _last(lines)
    text = message if reason else "\n".join(lines)
    for code, sign in _SIGNS:
        if re.search(sign, text, re.IGNORECASE):
            return code, message[:400]
    return "load_failed", message[:400]


def _last(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "It said nothing.")
