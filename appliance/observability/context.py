"""Which request this code runs for: its id, and its place in a distributed trace.

Follows the request through tasks and threads by itself. Knows no HTTP framework and no ledger.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar, Token
from dataclasses import dataclass

# W3C Trace Context: version, trace id, parent's span id, flags; later versions may add to it.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class RequestContext:
    """`trace_id` is 32 hex digits: the caller's, or new. `parent_span_id` is 16, the caller's.

    `sampled` is False when the caller's own tracing has decided to drop this trace. `span_id` is
    that of our own span for the request; None where spans are not recorded.
    """

    request_id: str
    trace_id: str
    parent_span_id: str | None = None
    sampled: bool = True
    span_id: str | None = None


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current() -> RequestContext | None:
    """The request that is being served; None outside of any."""
    return _current.get()


def enter(context: RequestContext) -> Token[RequestContext | None]:
    """From here on `current()` is `context`, until `leave` is given the token."""
    return _current.set(context)


def leave(token: Token[RequestContext | None]) -> None:
    _current.reset(token)


def read_context(request_id: str, traceparent: str, *, traced: bool = False) -> RequestContext:
    """The context of a request; a header that breaks the standard counts as none.

    `traced`: spans are recorded, and the request has one.
    """
    own = new_span_id() if traced else None
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or not _is_valid(*match.group(1, 2, 3, 5)):
        return RequestContext(request_id, secrets.token_hex(16), span_id=own)
    sampled = bool(int(match.group(4), 16) & _SAMPLED)
    return RequestContext(request_id, match.group(2), match.group(3), sampled, own)


def span_below() -> str | None:
    """The id of a new span within the current request; None where spans are not recorded."""
    found = current()
    return None if found is None or found.span_id is None else new_span_id()


def traceparent(span_id: str | None) -> str | None:
    """The header for whoever works for the current request, on behalf of a span within it or of its
    own. Where spans are not recorded the caller's is passed on; None: there is nothing to tell.
    """
    found = current()
    if found is None:
        return None
    parent = span_id or found.span_id or found.parent_span_id
    if parent is None:
        return None
    return f"00-{found.trace_id}-{parent}-{int(found.sampled):02x}"


def new_span_id() -> str:
    return secrets.token_hex(8)


def _is_valid(version: str, trace_id: str, span_id: str, rest: str | None) -> bool:
    if version == "ff" or (version == "00" and rest is not None):
        return False
    return int(trace_id, 16) != 0 and int(span_id, 16) != 0
