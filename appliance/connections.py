"""A connection that does not wait for ever: uvicorn's, with bounds to what a client may hold open.

Without them a stranger could fill the memory with a head that never ends or take all connections
by saying nothing, and a key could keep the places at the engine by not reading its answers.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64_000
# Twice the longest body that is taken: what comes on after its refusal is cut off here.
MOST_BYTES = 64_000_000


class BoundedConnection(HttpToolsProtocol):
    """The times are in seconds: for a request's head, for all of it, and for taking an answer up.

    What ends here is a client that left to everybody above.
    """

    head_seconds = 30.0
    request_seconds = 300.0
    unread_seconds = 60.0

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._late: TimerHandle | None = None
        self._unread: TimerHandle | None = None
        self._most: int | None = None
        self._taken = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _cancel(self._late)
        _cancel(self._unread)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._taken += len(data)
        if self._most is not None and self._taken > self._most:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._taken, self._most = 0, MOST_HEAD_BYTES
        self._expect(self.head_seconds)

    def on_headers_complete(self) -> None:
        self._most = MOST_BYTES
        self._expect(self.request_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._most = None
        _cancel(self._late)
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._unread)

    def _expect(self, seconds: float) -> None:
        _cancel(self._late)
        self._late = self.loop.call_later(seconds, self.transport.abort)


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
