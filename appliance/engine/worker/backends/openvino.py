"""OpenVINO GenAI's continuous batching: the fastest engine here without a card.

All contact with the library is here, in `openvino_requests`, `openvino_pipeline` and
`openvino_forms`. One thread owns the pipeline.
The library holds Python's lock for a whole `step`, so the event loop gets its turns between
steps: the thread hands tokens over, though not after each step (`pace`), and waits until the
loop has had a few rounds, which is what a new connection needs to become a submitted request.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import openvino_genai as genai

from appliance.engine.worker.backends.base import OnFatal, TokenStream
from appliance.engine.worker.backends.openvino_pipeline import OpenedModel
from appliance.engine.worker.backends.openvino_requests import Requests
from appliance.engine.worker.backends.pace import News, Pace
from appliance.engine.worker.backends.pulse import Pulse
from appliance.engine.worker.forms import CAPABILITY, Form
from appliance.engine.worker.sampling import SAMPLING_PARAMETERS
from appliance.errors import InvalidRequest

_LOOP_TURNS = 6
# How long a first request waits for the next, and at most for all that come like that. A step takes
# ten times as long.
GATHER_SECONDS = 0.002
LONGEST_GATHER_SECONDS = 0.02
# Only so that a loop that is busy for long does not hold up everybody's tokens.
_LONGEST_HANDOVER_SECONDS = 0.25


class OpenVinoBackend:
    """A `Backend`. A seed is best effort: texts repeat for requests that run alone."""

    engine_version = f"openvino-genai {genai.__version__}"

    def __init__(self, model: OpenedModel, end_tokens: Sequence[int]) -> None:
        # Without an end token no form could ever be complete.
        self._forms = model.forms if end_tokens else None
        forms = frozenset(CAPABILITY.values()) if self._forms else frozenset[str]()
        self.capabilities = SAMPLING_PARAMETERS - {"logit_bias"} | forms | {"logprobs"}
        self._requests = Requests(model, set(end_tokens))
        self._pace = Pace()
        self._working = False
        self.pulse = Pulse(lambda: self._working)
        self._orders: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._resume = threading.Event()
        self._closing = False
        self._dead: str | None = None

    @property
    def kv_usage(self) -> float:
        return self._requests.kv_usage

    def warm_up(self) -> None:
        """The first prompt compiles: pay for it before the first user does."""
        self._requests.warm_up()

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        self._loop = loop
        self._on_fatal = on_fatal
        threading.Thread(target=self._work, name="openvino", daemon=True).start()

    def check_form(self, form: Form) -> None:
        if self._forms is None:
            raise InvalidRequest("This engine cannot hold an answer to a form.")
        self._forms.check(form)

    def submit(self, stream: TokenStream) -> None:
        if self._dead is not None:
            stream.fail(self._dead)
            return
        self._order(lambda: self._requests.add(stream))

    def cancel(self, stream: TokenStream) -> None:
        self._order(lambda: self._requests.cancel(stream))

    def close(self) -> None:
        self._closing = True
        self._order(lambda: None)

    def _order(self, order: Callable[[], None]) -> None:
        """On the event loop: leave an order for the thread."""
        with self._wake:
            self._orders.append(order)
            self._wake.notify()

    # --- everything below runs on the pipeline's own thread, unless it says otherwise

    def _work(self) -> None:
        try:
            # Half a second that nobody need wait for before the page says "ready".
            self._requests.finish_warm_up()
            while self._follow_orders():
                news = self._pace.ready(self._requests.step())
                if news is not None:
                    self._hand_over(news)
            self._requests.close()
        except Exception as error:
            # A closed loop means that the process is ending and nobody is left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._die, error)

    def _follow_orders(self) -> bool:
        """Carry out what was ordered, sleeping while there is nothing to do. False: stop."""
        while not self._closing:
            with self._wake:
                while not self._orders and not self._requests and not self._closing:
                    self._working = False
                    self._wake.wait()
                orders, self._orders = self._orders, []
            self.pulse.beat()
            self._working = True
            first = not self._requests
            for order in orders:
                order()
            if self._requests:
                if first:
                    self._gather()
                return not self._closing
        return False

    def _gather(self) -> None:
        """Those who come at the same moment begin together: whoever misses the first step waits
        for all of it, and it is hardly longer for many than for one."""
        until = time.perf_counter() + LONGEST_GATHER_SECONDS
        while time.perf_counter() < until:
            with self._wake:
                self._wake.wait_for(lambda: self._orders, GATHER_SECONDS)
                orders, self._orders = self._orders, []
            for order in orders:
                order()
            if not orders:
                return

    def _hand_over(self, news: News) -> None:
        self._resume.clear()
        self._loop.call_soon_threadsafe(self._deliver, news)
        self._resume.wait(_LONGEST_HANDOVER_SECONDS)

    def _deliver(self, news: News) -> None:
        """On the event loop: one call for all tokens of a step."""
        for stream, item in news:
            if isinstance(item, str):
                stream.fail(item)
            else:
                stream.push(item)
        self._turn(_LOOP_TURNS)

    def _turn(self, left: int) -> None:
        """On the event loop."""
        if left:
            self._loop.call_soon(self._turn, left - 1)
        else:
            self._resume.set()

    def _die(self, error: Exception) -> None:
        """On the event loop."""
        self._dead = f"The engine failed: {error}"
        for order in self._orders:
            order()
        for stream in self._requests.streams():
            stream.fail(self._dead)
        self._on_fatal(error)
