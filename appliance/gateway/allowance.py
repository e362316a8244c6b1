"""What is left of a limit, as headers: OpenAI's names, and those of the IETF's draft."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Allowance:
    """`left` of `limit` in a window of seconds; `reset` seconds until some is given back."""

    kind: Literal["requests", "tokens"]
    limit: int
    left: int
    reset: float
    window: int


def headers(allowances: Sequence[Allowance]) -> dict[str, str]:
    """`x-ratelimit-…-requests` and `-tokens` tell the tightest of a kind; `ratelimit` tells all.

    See draft-ietf-httpapi-ratelimit-headers and OpenAI's "Rate limits in headers".
    """
    found: dict[str, str] = {}
    if not allowances:
        return found
    for kind in ("requests", "tokens"):
        of_kind = [one for one in allowances if one.kind == kind]
        if of_kind:
            tightest = min(of_kind, key=lambda one: one.left)
            found[f"x-ratelimit-limit-{kind}"] = str(tightest.limit)
            found[f"x-ratelimit-remaining-{kind}"] = str(tightest.left)
            found[f"x-ratelimit-reset-{kind}"] = _duration(tightest.reset)
    policies = [f'"{_name(one)}";q={one.limit};w={one.window}' for one in allowances]
    states = [f'"{_name(one)}";r={one.left};t={math.ceil(one.reset)}' for one in allowances]
    return found | {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(states)}


def _name(allowance: Allowance) -> str:
    return f"{allowance.kind}-{allowance.window}s"


def _duration(seconds: float) -> str:
    """As OpenAI writes them: `6m0s`, `12s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
