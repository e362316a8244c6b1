"""transformers' own first-come scheduler, with turns for adapters and short steps on a CPU.

All methods run on the batching thread. What the library keeps private is overridden here alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from transformers.generation.continuous_batching.requests import RequestStatus
from transformers.generation.continuous_batching.scheduler import FIFOScheduler

from appliance.engine.worker.backends.controls import controls_of
from appliance.engine.worker.backends.pulse import Pulse
from appliance.engine.worker.backends.step_budget import StepBudget

SCHEDULER = "appliance"
# Makes an adapter of that name, or with None the model itself, answer from now on.
Switch = Callable[[str | None], None]


class TurnScheduler(FIFOScheduler):  # type: ignore[misc]
    """One adapter answers at a time; whoever waits for another one holds up those behind.

    So the running answers end, the first in line gets its adapter, and nobody starves.
    `budget` says how much of prompts is read while answers run.
    """

    def __init__(self, *, switch: Switch, budget: StepBudget, pulse: Pulse, **parts: Any) -> None:
        super().__init__(**parts)
        self._pulse = pulse
        self._switch = switch
        self._budget = budget
        # Of the step before: what it read of prompts beside answers, and when it began.
        self._read, self._began = 0, 0.0
        self._adapter: str | None = None

    def add_waiting_request(self, state: Any) -> None:
        """One that lost its cache goes on before any new one begins."""
        super().add_waiting_request(state)
        if state._true_initial_tokens:
            self.waiting_requests_order.rotate(1)

    def schedule_batch(self, token_budget: int, cache_budget: int) -> Any:
        self._pulse.beat()
        if self.active_requests:
            self._budget.observe(self._read, time.perf_counter() - self._began)
        else:
            # The library lifts this when a request ends, but not when the last one is cancelled.
            self.block_new_requests = False
        running = sum(
            state.status == RequestStatus.DECODING for state in self.active_requests.values()
        )
        if running:
            token_budget = min(token_budget, running + self._budget.tokens)
        batch, fast_path, tokens, keys = super().schedule_batch(token_budget, cache_budget)
        self._read, self._began = (tokens - running if running else 0), time.perf_counter()
        return batch, fast_path, tokens, keys

    def _get_waiting_candidates(self) -> list[Any]:
        waiting = super()._get_waiting_candidates()
        if waiting and not self.active_requests:
            self._turn_to(controls_of(waiting[0]).adapter)
        return list(takewhile(lambda state: controls_of(state).adapter == self._adapter, waiting))

    def _turn_to(self, adapter: str | None) -> None:
        if adapter == self._adapter:
            return
        self._switch(adapter)
        self._adapter = adapter
        # Keys and values of one adapter are wrong for another.
        self.cache.evict_cached_blocks()

    def _infer_request_tokens(self, state: Any, removed_from_waiting: set[str]) -> list[int]:
        """The library looks for shared pages here, and moves the request behind them."""
        before, shares = state.position_offset, self.cache.use_prefix_sharing
        # What is to be scored has to be computed.
        self.cache.use_prefix_sharing = shares and controls_of(state).prompt_scores is None
        tokens: list[int] = super()._infer_request_tokens(state, removed_from_waiting)
        self.cache.use_prefix_sharing = shares
        if not state._true_initial_tokens:
            controls_of(state).cached_tokens += state.position_offset - before
        return tokens
