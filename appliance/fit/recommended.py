"""The sampling that a model's makers recommend, out of its `generation_config.json`.

The fields that vLLM takes from that file too. A value that no engine could obey is left out
rather than made an error: the file is not the owner's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The most that a field may be, and whether its least is allowed itself.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "temperature": (0.0, 2.0, True),
    "top_p": (0.0, 1.0, False),
    "top_k": (0, 1_000_000, True),
    "min_p": (0.0, 1.0, True),
    "repetition_penalty": (0.0, 2.0, False),
}


def recommended_sampling(generation: Mapping[str, Any]) -> dict[str, float | int]:
    """Those of our sampling parameters that the file sets; empty when it sets none."""
    found: dict[str, float | int] = {}
    for name, (least, most, including) in _RANGES.items():
        value = generation.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if name == "top_k":
            value = max(0, int(value))  # some files say -1 for "all"
        if least < value <= most or (including and value == least):
            found[name] = value
    return found
