"""The engine that fits the plan: our own process, vLLM's, or somebody else's URL.

Apart from `app`, so that the engine is already loading while the web framework is imported.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import cast

from appliance.engine.config import FailureCode
from appliance.engine.orders import Order, worker_order
from appliance.engine.status import Engine
from appliance.engine.supervisor import Supervisor
from appliance.errors import SetupError
from appliance.fit.plan import Plan, after_failure
from appliance.folder import DataFolder
from appliance.settings import Settings


class PlanOrders:
    """The plan and its fallbacks as orders to the supervisor; one key for all of them."""

    def __init__(self, plan: Plan, settings: Settings, *, cache_dir: str) -> None:
        self._plan = self._now = plan
        self._vllm_command = settings.vllm_command
        self._make = partial(
            Plan.engine_config,
            key=secrets.token_urlsafe(32),
            cache_dir=cache_dir,
            hub_endpoint=settings.hub_endpoint,
            adapters=settings.adapters,
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
        config, environment = self._make(self._now), self._now.environment()
        if config.backend != "vllm":
            return worker_order(config, environment)
        from appliance.engine.vllm import vllm_order  # only who asks for vLLM pays for it

        return vllm_order(config, environment, self._vllm_command)


def make_engine(settings: Settings, folder: DataFolder, plan: Plan) -> Engine:
    """Not yet started. Raises SetupError when the settings do not make an engine."""
    if plan.engine != "remote":
        orders = PlanOrders(plan, settings, cache_dir=str(folder.cache))
        orders.first()
        minutes = settings.idle_unload_minutes
        return Supervisor(
            orders, log_path=folder.engine_log, idle_seconds=minutes * 60 if minutes else None
        )
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
