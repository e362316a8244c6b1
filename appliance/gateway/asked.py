"""One generation on its way through the gateway, from the wish to its row."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain import GenerationRequest
from appliance.engine.config import EngineFacts
from appliance.gateway.account import Account
from appliance.gateway.caller import Caller
from appliance.gateway.context import Origin
from appliance.gateway.work import Begun, Placed
from appliance.observability.context import span_below


@dataclass(slots=True)
class Asked:
    """`placed` and `begun` are set once it has a place, and once the engine has taken it.

    `keeps_content`: its texts are recorded. `facts` are the engine's when the row was opened.
    `span_id` is its span's in the request's trace; None where spans are not recorded.
    """

    id: str
    request_id: str
    request: GenerationRequest
    caller: Caller
    account: Account
    origin: Origin
    keeps_content: bool
    facts: EngineFacts | None = None
    cache_key: str | None = None
    placed: Placed | None = None
    begun: Begun | None = None
    energy_mark: float | None = None
    span_id: str | None = field(default_factory=span_below)
