"""OpenVINO GenAI's continuous batching: the fastest engine here without a card.

All contact with the library is here and in `openvino_pipeline`. One thread owns the pipeline.
The library holds Python's lock for a whole `step`, so the event loop gets its turns between
steps: after each one the thread hands its tokens over and waits until the loop has had a few
rounds, which is what a new connection needs to become a submitted request.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai

from appliance.engine.worker.backends.base import Ask, OnFatal, Step, TokenStream
from appliance.engine.worker.backends.openvino_pipeline import generation_config
from appliance.engine.worker.forms import Form
from appliance.engine.worker.sampling import SAMPLING_PARAMETERS, TokenSampling
from appliance.errors import InvalidRequest

_LOOP_TURNS = 6
_WARM_UP_TOKENS = 40
# Only so that a loop that is busy for long does not hold up everybody's tokens.
_LONGEST_HANDOVER_SECONDS = 0.25

_FINISH = {
    genai.GenerationFinishReason.STOP: "stop",
    genai.GenerationFinishReason.LENGTH: "length",
}


class OpenVinoBackend:
    """A `Backend`. A seed is best effort: texts repeat for requests that run alone."""

    capabilities = SAMPLING_PARAMETERS - {"logit_bias"}
    engine_version = f"openvino-genai {genai.__version__}"

    def __init__(
        self, pipeline: genai.ContinuousBatchingPipeline, end_tokens: Sequence[int]
    ) -> None:
        self._pipeline = pipeline
        self._end_tokens = set(end_tokens)
        self._ids = 0
        self._running: dict[TokenStream, Any] = {}
        self._orders: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._resume = threading.Event()
        self._closing = False
        self._dead: str | None = None

    def warm_up(self) -> None:
        """The first prompt and the first token compile: pay for it before the first user does."""
        greedy = TokenSampling(temperature=0.0)
        stream = TokenStream(Ask(prompt=[0] * _WARM_UP_TOKENS, max_tokens=2, sampling=greedy))
        handle = self._add(stream)
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        handle.read_all()
        self._running.clear()

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        self._loop = loop
        self._on_fatal = on_fatal
        threading.Thread(target=self._work, name="openvino", daemon=True).start()

    def check_form(self, form: Form) -> None:
        raise InvalidRequest("This engine cannot hold an answer to a form.")

    def submit(self, stream: TokenStream) -> None:
        if self._dead is not None:
            stream.fail(self._dead)
            return
        self._order(lambda: self._begin(stream))

    def cancel(self, stream: TokenStream) -> None:
        self._order(lambda: self._forget(stream))

    def close(self) -> None:
        self._closing = True
        self._order(lambda: None)

    # --- everything below runs on the pipeline's own thread, unless it says otherwise

    def _order(self, order: Callable[[], None]) -> None:
        """On the event loop: leave an order for the thread."""
        with self._wake:
            self._orders.append(order)
            self._wake.notify()

    def _work(self) -> None:
        try:
            while self._follow_orders():
                self._pipeline.step()
                self._hand_over(self._collect())
        except Exception as error:
            # A closed loop means that the process is ending and nobody is left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._die, error)

    def _follow_orders(self) -> bool:
        """Carry out what was ordered, sleeping while there is nothing to do. False: stop."""
        while not self._closing:
            with self._wake:
                while not self._orders and not self._running and not self._closing:
                    self._wake.wait()
                orders, self._orders = self._orders, []
            for order in orders:
                order()
            if self._running:
                return not self._closing
        return False

    def _begin(self, stream: TokenStream) -> None:
        try:
            self._add(stream)
        except Exception as error:
            # The library refused this one request; the others are not touched.
            reason = str(error)
            self._loop.call_soon_threadsafe(stream.fail, reason)

    def _add(self, stream: TokenStream) -> Any:
        self._ids += 1
        ids = openvino.Tensor(np.array([stream.ask.prompt], dtype=np.int64))
        handle = self._pipeline.add_request(
            self._ids, ids, generation_config(stream.ask, self._end_tokens)
        )
        self._running[stream] = handle
        return handle

    def _forget(self, stream: TokenStream) -> None:
        handle = self._running.pop(stream, None)
        if handle is not None:
            handle.cancel()
            if not self._running:
                # The library lets go of a cancelled request in its next step.
                self._pipeline.step()

    def _collect(self) -> list[tuple[TokenStream, Step | str]]:
        """New tokens of every running request; those that have ended are no longer running."""
        news: list[tuple[TokenStream, Step | str]] = []
        for stream, handle in list(self._running.items()):
            tokens: list[int] = []
            finish: Any = None
            while handle.can_read():
                output = handle.read()[0]
                tokens += output.generated_ids
                finish = _FINISH.get(output.finish_reason)
            if finish is None and handle.get_status() == genai.GenerationStatus.IGNORED:
                news.append((stream, "The request does not fit into the KV cache."))
                del self._running[stream]
            elif tokens or finish:
                news.append((stream, Step(tokens, finish)))
                if finish:
                    del self._running[stream]
        return news

    def _hand_over(self, news: list[tuple[TokenStream, Step | str]]) -> None:
        self._resume.clear()
        self._loop.call_soon_threadsafe(self._deliver, news)
        self._resume.wait(_LONGEST_HANDOVER_SECONDS)

    def _deliver(self, news: list[tuple[TokenStream, Step | str]]) -> None:
        """On the event loop: one call for all tokens of a step."""
        for stream, item in news:
            if isinstance(item, str):
                stream.fail(item)
            else:
                stream.push(item)
        self._turn(_LOOP_TURNS)

    def _turn(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._turn, left - 1)
        else:
            self._resume.set()

    def _die(self, error: Exception) -> None:
        """On the event loop."""
        self._dead = f"The engine failed: {error}"
        for stream in self._running:
            stream.fail(self._dead)
        self._on_fatal(error)
