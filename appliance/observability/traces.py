"""Spans on their way to an OpenTelemetry collector: in batches, from a thread of their own.

Serving never waits for it: what a collector that is away leaves over is lost, counted, and said
once. Knows how to send spans, and nothing of what they tell.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from threading import Condition, Thread

import httpx2

from appliance.observability.spans import Attributes, Span, encoded

# OpenTelemetry's own figures for a batch and for what may wait.
BATCH_SPANS = 512
MAX_WAITING = 2048
EVERY_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
SEND_SECONDS = 5.0
# The standard names these as worth another try.
TRY_AGAIN = (429, 502, 503, 504)

logger = logging.getLogger(__name__)


class Traces:
    """Sends to `endpoint`, a collector's address without `/v1/traces`. `close` it at the end.

    `sent` and `lost` count spans.
    """

    def __init__(self, endpoint: str, resource: Attributes, version: str) -> None:
        self.sent = 0
        self.lost = 0
        self._url = endpoint.rstrip("/") + "/v1/traces"
        self._resource = resource
        self._version = version
        self._waiting: deque[Span] = deque()
        self._changed = Condition()
        self._closing = False
        self._failing = False
        self._thread = Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[Span]) -> None:
        """Takes spans and returns at once; the newest are lost where too many wait."""
        with self._changed:
            room = max(0, MAX_WAITING - len(self._waiting))
            self._waiting.extend(spans[:room])
            self.lost += len(spans[room:])
            if len(self._waiting) >= BATCH_SPANS:
                self._changed.notify()

    def close(self, seconds: float = SEND_SECONDS) -> None:
        """Sends what waits, with one try; gives up after `seconds`. Blocks."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        pause = EVERY_SECONDS
        with httpx2.Client(timeout=SEND_SECONDS, trust_env=False) as http:
            while True:
                closing = self._sleep(pause)
                answered = self._send_all(http)
                if closing:
                    return
                pause = EVERY_SECONDS if answered else min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _sleep(self, seconds: float) -> bool:
        """Until a batch is full or the time is up; while nobody answers, only the time counts."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._closing and (left := until - time.monotonic()) > 0:
                if len(self._waiting) >= BATCH_SPANS and not self._failing:
                    break
                self._changed.wait(left)
            return self._closing

    def _send_all(self, http: httpx2.Client) -> bool:
        """False when the collector is away: what was to be sent waits on."""
        while batch := self._next_batch():
            trouble = self._send(http, batch)
            if trouble is not None:
                self._put_back(batch)
                self._complain(trouble)
                return False
        return True

    def _next_batch(self) -> list[Span]:
        with self._changed:
            size = min(BATCH_SPANS, len(self._waiting))
            return [self._waiting.popleft() for _ in range(size)]

    def _put_back(self, batch: list[Span]) -> None:
        """In front; what there is no room for any more is lost."""
        with self._changed:
            room = MAX_WAITING - len(self._waiting)
            kept = batch[max(0, len(batch) - room) :]
            self._waiting.extendleft(reversed(kept))
            self.lost += len(batch) - len(kept)

    def _send(self, http: httpx2.Client, batch: list[Span]) -> str | None:
        """What is wrong with the collector; None when it has the batch, or will never want it."""
        body = encoded(batch, self._resource, self._version)
        try:
            answer = http.post(self._url, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return str(error) or type(error).__name__
        if answer.status_code in TRY_AGAIN:
            return f"status {answer.status_code}"
        if answer.status_code // 100 != 2:
            self.lost += len(batch)
            self._complain(f"status {answer.status_code}")
            return None
        self.sent += len(batch)
        if self._failing:
            self._failing = False
            logger.warning("Traces are sent again; %d spans were lost since the start", self.lost)
        return None

    def _complain(self, trouble: str) -> None:
        if not self._failing:
            self._failing = True
            logger.warning("Traces cannot be sent to %s: %s", self._url, trouble)
