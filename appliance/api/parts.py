"""What the API routes are given by the app, and the dependency that names the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from appliance.engine.status import Engine
from appliance.errors import NotFound
from appliance.gateway.gateway import Gateway
from appliance.gateway.identity import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    gateway: Gateway
    engine: Engine
    identify: Callable[[Request], Awaitable[Caller]]
    version: str

    def check_model(self, wanted: str | None) -> None:
        """Raises NotFound for a model that is not served; `auto` and no name mean the served one.

        Without a loaded engine nothing can be said yet; the gateway then refuses with the reason.
        """
        facts = self.engine.status.facts
        if facts is None or not wanted or wanted in ("auto", "default"):
            return
        if wanted.lower() in served_names(facts.model):
            return
        raise NotFound(
            "The model %(wanted)s is not served here. Available: %(served)s (or auto).",
            param="model",
            wanted=repr(wanted),
            served=facts.model,
        )


def served_names(model: str) -> set[str]:
    """The names a client may use, in lower case: with and without the hub's organisation."""
    return {model.lower(), model.rpartition("/")[2].lower()}
