"""What the owner asked for, checked before anything is planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from appliance.errors import SetupError
from appliance.fit.sizing import PAGE

PrecisionWish = Literal["auto", "16bit", "int8", "nf4", "fp8", "awq"]
EngineWish = Literal["auto", "transformers", "openvino", "vllm", "remote"]

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The owner's settings as far as a plan depends on them. None and "auto" leave it to us."""

    model: str = AUTO
    precision: PrecisionWish = "auto"
    engine: EngineWish = "auto"
    context_length: int | None = None
    max_concurrency: int | None = None

    def check(self) -> None:
        """Raises SetupError that names the setting, the value and what is allowed."""
        _check_choice("precision", self.precision, get_args(PrecisionWish))
        _check_choice("engine", self.engine, get_args(EngineWish))
        _check_least("context_length", self.context_length, PAGE)
        _check_least("max_concurrency", self.max_concurrency, 1)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SetupError(
            "%(name)s is %(value)s, but must be one of %(allowed)s.",
            param=name,
            name=name,
            value=repr(value),
            allowed=", ".join(allowed),
        )


def _check_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise SetupError(
            "%(name)s is %(value)s, but must be at least %(least)s.",
            param=name,
            name=name,
            value=value,
            least=least,
        )
