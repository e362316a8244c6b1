"""What a request leaves open is filled from the model's own recommendation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from appliance.errors import UnsupportedParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSampling:
    """How tokens are chosen, nothing left open. Neutral values switch a parameter off.

    Ranges as in `domain.Sampling`. `seed` None means: a new one each time. `logit_bias` is pairs
    of token id and what is added to its logit.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0 or self.top_k == 1

    @property
    def penalised(self) -> bool:
        return (
            self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
            or self.repetition_penalty != 1.0
        )


NEUTRAL = TokenSampling()
SAMPLING_PARAMETERS = frozenset(NEUTRAL.__dataclass_fields__)


def default_sampling(wanted: Mapping[str, Any], capabilities: frozenset[str]) -> TokenSampling:
    """The order's recommendation, without what this backend cannot do."""
    usable = SAMPLING_PARAMETERS & capabilities
    return replace(NEUTRAL, **{name: value for name, value in wanted.items() if name in usable})


def resolve_sampling(
    asked: Mapping[str, Any], defaults: TokenSampling, capabilities: frozenset[str]
) -> TokenSampling:
    """`asked` over `defaults`; None means not asked.

    Raises UnsupportedParameter for a parameter that this backend does not obey, unless its value
    would change nothing.
    """
    chosen = {name: value for name, value in asked.items() if value is not None}
    for name, value in chosen.items():
        if name not in capabilities and value != getattr(NEUTRAL, name):
            raise UnsupportedParameter(
                "This engine cannot do %(parameter)s. Leave it out, or use another engine.",
                param=name,
                parameter=name,
            )
    return replace(defaults, **{n: v for n, v in chosen.items() if n in capabilities})
