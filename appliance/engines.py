"""The engine that fits the plan: our own process, or somebody else's URL.

Apart from `app`, so that the engine is already loading while the web framework is imported.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import cast

from appliance.engine.config import FailureCode
from appliance.engine.orders import Order
from appliance.engine.status import Engine
from appliance.engine.supervisor import Supervisor
from appliance.errors import SetupError
from appliance.fit.plan import Plan, after_failure
from appliance.folder import DataFolder
from appliance.settings import Settings


class PlanOrders:
    """The plan and its fallbacks as orders to the supervisor; one key for all of them."""

    def __init__(self, plan: Plan, *, cache_dir: str, hub_endpoint: str | None) -> None:
        self._plan = self._now = plan
        self._make = partial(
            Plan.engine_config,
            key=secrets.token_urlsafe(32),
            cache_dir=cache_dir,
            hub_endpoint=hub_endpoint,
        )

    def first(self) -> Order:
        self._now = self._plan
        return self._order()

    def after_failure(self, code: str) -> Order | None:
        fallback = after_failure(self._now, cast(FailureCode, code))
        if fallback is None:
            return None
        self._now = fallback
        return self._order()

    def _order(self) -> Order:
        return Order(self._make(self._now), self._now.environment())


def make_engine(settings: Settings, folder: DataFolder, plan: Plan) -> Engine:
    """Not yet started. Raises SetupError when a remote engine has no URL."""
    if plan.engine != "remote":
        orders = PlanOrders(plan, cache_dir=str(folder.cache), hub_endpoint=settings.hub_endpoint)
        return Supervisor(orders, log_path=folder.engine_log)
    if not settings.engine_url:
        raise SetupError("--engine remote needs --engine-url, such as http://10.0.0.5:8000/v1.")
    from appliance.engine.remote import RemoteEngine  # its HTTP client is slow to import

    return RemoteEngine(
        url=settings.engine_url,
        key=settings.engine_key,
        model=settings.model,
        context_length=settings.context_length or 0,
        max_concurrency=settings.max_concurrency or 64,
    )
