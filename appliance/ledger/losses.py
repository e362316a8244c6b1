"""What the ledger could not record: counted, and said now and then."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy.exc import OperationalError

from appliance.ledger.trouble import in_words

LOG_INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Losses:
    """Safe to share between threads.

    `count` is of all since the start. `failing` is true from the first loss until work is stored
    again, and `reason` is that first loss's. `gap` is the time of the last row of losses, from its
    first to its last: what is not in the ledger.
    """

    def __init__(self) -> None:
        self.count = 0
        self.reason: Exception | None = None
        self.failing = False
        self.gap: tuple[datetime | None, datetime | None] = (None, None)
        self._lock = Lock()
        self._next_log = float("-inf")
        self._logged = False

    def add(self, error: Exception) -> None:
        """A piece of work is lost."""
        with self._lock:
            self.count += 1
            now = datetime.now(UTC)
            self.gap = (self.gap[0] if self.failing else now, now)
            if not self.failing:  # later errors are mostly consequences of the first
                self.reason = error
            self.failing = True
            if time.monotonic() < self._next_log:
                return
            self._logged = True
            self._next_log = time.monotonic() + LOG_INTERVAL_SECONDS
        # A full disk and a lock say all in a sentence; anything else is a mistake to be found.
        unexpected = None if isinstance(error, OperationalError) else error
        logger.error(
            "The ledger cannot record; %d writes lost so far: %s",
            self.count,
            in_words(error),
            exc_info=unexpected,
        )

    def end(self) -> None:
        """Work is stored again."""
        if not self.failing:
            return
        self.failing = False
        if self._logged:
            self._logged = False
            logger.warning(
                "The ledger records again. What came from %s to %s UTC is missing from it: "
                "%d writes in all were lost since the start",
                *(moment and f"{moment:%Y-%m-%d %H:%M:%S}" for moment in self.gap),
                self.count,
            )
