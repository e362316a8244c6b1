"""HTTP's edge: every request gets our id and one ledger row, whatever becomes of it.

A pure ASGI middleware, so that streams pass through untouched and a client that leaves is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.gateway import allowance
from appliance.gateway.allowance import Allowance
from appliance.gateway.identity import Caller, Connection, Identity, SessionClaim
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder
from appliance.observability import context
from appliance.observability.seen import RequestSeen

UNRECORDED = (
    "/static/",
    "/docs/",
    "/health",
    "/ready",
    "/metrics",
    "/status/live",
    "/offline",
    "/manifest.webmanifest",
    "/service-worker.js",
)
LONGEST_CLIENT_ID = 200
NO_ROUTE = "none"  # what a request for an unknown address is counted under
LOG_CONTENT_HEADER = "x-log-content"


@dataclass(slots=True)
class RequestRecord:
    """One request on its way; routes fill in what they learn."""

    id: str
    key_name: str | None = None
    error: str | None = None
    status: int | None = None
    caller: Caller | None = None


class Recording:
    """Middleware: our `X-Request-ID` on every response, one `request` row for each but static.

    `watch` is told of each that has a row, when it is over. `allowances` tells what is left of a
    caller's limits, for the answers to what they send. `traced`: requests are spans of a trace.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ledger: Recorder,
        watch: Callable[[RequestSeen], None] | None = None,
        allowances: Callable[[Caller], Awaitable[list[Allowance]]] | None = None,
        traced: bool = False,
    ) -> None:
        self.app = app
        self._traced = traced
        self._allowances = allowances
        self._ledger = ledger
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = RequestRecord(new_id())
        scope.setdefault("state", {})["record"] = record
        traceparent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        token = context.enter(context.read_context(record.id, traceparent, traced=self._traced))
        try:
            await self._serve(record, scope, receive, send)
        finally:
            context.leave(token)

    async def _serve(
        self, record: RequestRecord, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["path"].startswith(UNRECORDED):
            await self.app(scope, receive, _marked(record, send))
            return
        started = time.perf_counter()
        self._open(record, scope)
        try:
            await self.app(scope, receive, self._limited(record, scope, send))
        except BaseException as error:
            record.error = record.error or _name(error)
            raise
        finally:
            self._ledger.close_request(
                record.id,
                status=record.status or 500,
                duration_ms=(time.perf_counter() - started) * 1000,
                key_name=record.key_name,
                error=record.error,
            )
            self._tell(record, scope, time.perf_counter() - started)

    def _limited(self, record: RequestRecord, scope: Scope, send: Send) -> Send:
        """Marked, and with what is left of the caller's limits where something was asked for."""
        send, allowances = _marked(record, send), self._allowances
        if scope["method"] != "POST" or allowances is None:
            return send

        async def send_limited(message: Message) -> None:
            if message["type"] == "http.response.start" and record.caller is not None:
                left = allowance.headers(await allowances(record.caller))
                more = [(name.encode(), value.encode()) for name, value in left.items()]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        return send_limited

    def _tell(self, record: RequestRecord, scope: Scope, seconds: float) -> None:
        if self._watch is not None:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            status, method = record.status or 500, scope["method"]
            self._watch(
                RequestSeen(
                    method=method,
                    route=route,
                    status=status,
                    seconds=seconds,
                    started_at=time.time() - seconds,
                    context=context.current(),
                )
            )

    def _open(self, record: RequestRecord, scope: Scope) -> None:
        headers = dict(scope["headers"])
        client = scope.get("client")
        self._ledger.open_request(
            id=record.id,
            created_at=datetime.now(UTC),
            method=scope["method"],
            path=scope["path"],
            client_ip=client[0] if client else "",
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
            client_request_id=_clients_id(headers.get(b"x-request-id", b"")),
        )


def _name(error: BaseException) -> str:
    """The server cancels a request only when the appliance ends and has waited long enough."""
    stopped = isinstance(error, asyncio.CancelledError)
    return "the appliance was stopped" if stopped else type(error).__name__


def _clients_id(header: bytes) -> str | None:
    """What the client calls its request, where that is fit to be read; else nothing."""
    with contextlib.suppress(UnicodeDecodeError):
        text = header.decode()
        if 0 < len(text) <= LONGEST_CLIENT_ID and text.isprintable():
            return text
    return None


def _marked(record: RequestRecord, send: Send) -> Send:
    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", record.id.encode()),
            ]
        await send(message)

    return send_marked


def record_of(request: Request) -> RequestRecord:
    record: RequestRecord = request.scope["state"]["record"]
    return record


async def identify(
    identity: Identity,
    request: Request,
    session: Callable[[Request], SessionClaim | None] = lambda _: None,
) -> Caller:
    """The caller of an HTTP request, noted in its ledger row. Raises as `Identity.identify`.

    With `X-Log-Content: off` or `metadata` the caller asks that only metadata is recorded.
    """
    connection = Connection(
        client_ip=request.client.host if request.client else "",
        method=request.method,
        headers=request.headers,
        session=session(request),
    )
    caller = await identity.identify(connection)
    record = record_of(request)
    record.key_name, record.caller = caller.name, caller
    if request.headers.get(LOG_CONTENT_HEADER, "").strip().lower() in ("off", "metadata"):
        return replace(caller, log_content="metadata")
    return caller
