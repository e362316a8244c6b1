"""What the API routes are given by the app, and the dependency that names the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from appliance.engine.client import EngineClient
from appliance.engine.status import Engine
from appliance.errors import NotFound
from appliance.gateway.gateway import Gateway
from appliance.gateway.identity import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """`client` is for questions that generate nothing; all that generates goes by `gateway`."""

    gateway: Gateway
    engine: Engine
    client: EngineClient
    identify: Callable[[Request], Awaitable[Caller]]
    version: str

    def check_model(self, wanted: str | None) -> str | None:
        """The adapter that `wanted` names; None where it means the model itself.

        `auto` and no name mean the model. Raises NotFound for what is not served. Without a
        loaded engine nothing can be said yet; the gateway then refuses with the reason.
        """
        facts = self.engine.status.facts
        if facts is None or not wanted or wanted in ("auto", "default"):
            return None
        if wanted in facts.adapters:
            return wanted
        if wanted.lower() in served_names(facts.model):
            return None
        raise NotFound(
            "The model %(wanted)s is not served here. Available: %(served)s (or auto).",
            param="model",
            wanted=repr(wanted),
            served=", ".join((facts.model, *facts.adapters)),
        )


def served_names(model: str) -> set[str]:
    """The names a client may use, in lower case: with and without the hub's organisation."""
    return {model.lower(), model.rpartition("/")[2].lower()}
