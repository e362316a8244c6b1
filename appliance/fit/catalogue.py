"""The models that the appliance knows by name, read from `data/models.toml` and checked.

Also the one shape in which the planner sees any model, ours or the user's: `ModelEntry`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from appliance.engine.config import ModelSource, Precision
from appliance.errors import SetupError
from appliance.fit.shape import Shape

CATALOGUE_FILE = Path(__file__).parents[2] / "data" / "models.toml"
DEMO = "demo"
YARN_FACTORS = (2.0, 4.0)
"""The smallest that does is taken: stretching costs some quality on short texts."""

SamplingDefaults = Mapping[str, float | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model as the planner sees it.

    `context_native` is what the model was trained for, `context_max` the most its positions
    allow, `yarn_max` the most that YaRN may stretch them to (None: it may not), all in tokens.
    `gguf_bytes` is the size of the file when the weights are GGUF, `packed` the precision in which
    the source itself is quantised; `fp8` and `awq` name further hub repositories of the makers.
    """

    id: str
    name: str
    source: ModelSource
    shape: Shape
    context_native: int
    context_max: int
    thinking: bool = False
    auto: bool = False
    gguf_bytes: int | None = None
    packed: Precision | None = None
    fp8: str | None = None
    awq: str | None = None
    yarn_max: int | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()
    sampling: SamplingDefaults = field(default_factory=dict)
    sampling_thinking: SamplingDefaults = field(default_factory=dict)

    @property
    def is_gguf(self) -> bool:
        return self.gguf_bytes is not None

    def weight_bytes(self, precision: Precision) -> int:
        """Bytes of the loaded weights in this precision.

        A GGUF file's weights stay as they are packed on a CPU; in any other precision they are
        unpacked first, so its size no longer matters.
        """
        if precision == "gguf" and self.gguf_bytes is not None:
            return self.gguf_bytes
        return self.shape.weight_bytes(precision)

    def source_for(self, precision: Precision) -> ModelSource:
        """Where the weights of this precision are."""
        repository = {"fp8": self.fp8, "awq": self.awq}.get(precision)
        return self.source if repository is None else ModelSource("hub", repository)

    @property
    def context_limit(self) -> int:
        """The longest context that may be asked for."""
        return max(self.context_max, self.yarn_max or 0)

    def yarn_factor(self, context_length: int) -> float | None:
        """By how much YaRN has to stretch the model for this context; None: not at all."""
        if context_length <= self.context_max:
            return None
        fitting = (one for one in YARN_FACTORS if one * self.context_native >= context_length)
        return next(fitting, None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All known models, best first."""

    entries: tuple[ModelEntry, ...]

    @property
    def automatic(self) -> tuple[ModelEntry, ...]:
        return tuple(entry for entry in self.entries if entry.auto)

    @property
    def demo(self) -> ModelEntry:
        return next(entry for entry in self.entries if entry.id == DEMO)

    def find(self, name: str) -> ModelEntry | None:
        """By id, by name or by hub id, in any case of letters."""
        wanted = name.casefold()
        for entry in self.entries:
            if wanted in (entry.id, entry.name.casefold(), entry.source.location.casefold()):
                return entry
        return None


def load_catalogue(path: Path = CATALOGUE_FILE) -> Catalogue:
    """Raises SetupError that names the file, the entry and what is wrong with it."""
    try:
        tables = tomllib.loads(path.read_text("utf-8")).get("model", [])
    except (OSError, ValueError) as error:
        raise SetupError(
            "The model catalogue %(path)s cannot be read: %(error)s",
            path=str(path),
            error=str(error),
        ) from error
    entries = tuple(_entry(table, path) for table in tables)
    ids = [entry.id for entry in entries]
    if len(set(ids)) != len(ids) or DEMO not in ids:
        raise SetupError(
            "The model catalogue %(path)s must name each id once, `demo` among them: it has "
            "%(ids)s.",
            path=str(path),
            ids=", ".join(ids) or "none",
        )
    return Catalogue(entries)


def _entry(table: dict[str, Any], path: Path) -> ModelEntry:
    try:
        entry = _parse(dict(table))
    except (KeyError, TypeError, ValueError) as error:
        # A KeyError's own text is only the key in quotes.
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SetupError(
            "Model %(id)s in %(path)s is not valid: %(error)s.",
            id=repr(table.get("id", "?")),
            path=str(path),
            error=reason,
        ) from error
    return entry


def _parse(table: dict[str, Any]) -> ModelEntry:
    shape = Shape(**table.pop("shape"))
    _check_positive(shape)
    hub, package = table.pop("hub", None), table.pop("package", None)
    if (hub is None) == (package is None):
        raise ValueError("exactly one of `hub` and `package` says where the weights are")
    if package is None:
        source = ModelSource("hub", hub)
    else:
        source = ModelSource("package", package["location"], sha256=package["sha256"])
        table["gguf_bytes"] = package["bytes"]
    table["languages"] = tuple(table.get("languages", ()))
    entry = ModelEntry(source=source, shape=shape, **table)
    if not 0 < entry.context_native <= entry.context_max:
        raise ValueError("`context_native` must lie between 1 and `context_max`")
    if entry.yarn_max and (
        entry.is_gguf or entry.yarn_max > YARN_FACTORS[-1] * entry.context_native
    ):
        raise ValueError("`yarn_max` may be four times `context_native`, and not for a GGUF file")
    return entry


def _check_positive(shape: Shape) -> None:
    for item in fields(shape):
        value = getattr(shape, item.name)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise ValueError(f"shape.{item.name} must be a whole number, not {value!r}")
        if value == 0 and not isinstance(value, bool):
            raise ValueError(f"shape.{item.name} must be at least 1")
