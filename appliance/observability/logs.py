"""Log lines for people, or as JSON for programs; both carry the request that they belong to.

Nothing of a request's content is ever logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

from appliance.observability.context import current
from appliance.observability.seen import RequestSeen

ACCESS = logging.getLogger("appliance.access")


def set_up_logging(form: Literal["text", "json"], front: int | None = None) -> None:
    """For the whole process: warnings and worse; as JSON also a line for every request.

    `front` is the number of the process that writes, where several serve.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(front) if form == "json" else TextLines(front))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    ACCESS.setLevel(logging.INFO if form == "json" else logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_a_mistake)


def _is_a_mistake(record: logging.LogRecord) -> bool:
    """False for a request that was cancelled at the end of a drain: the server says so in a line of
    its own, and the traceback behind that shows nothing wrong.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def log_request(seen: RequestSeen) -> None:
    """The line of a request that is over; written where such lines are wanted."""
    if ACCESS.isEnabledFor(logging.INFO):
        said = f"{seen.method} {seen.route} {seen.status}"
        ACCESS.info(said, extra={"fields": {"seconds": round(seen.seconds, 4), **_facts(seen)}})


def _facts(seen: RequestSeen) -> dict[str, Any]:
    return {"method": seen.method, "route": seen.route, "status": seen.status}


class TextLines(logging.Formatter):
    """`WARNING appliance.x: what (request 01J…)`, where several serve `WARNING front 2, app…`."""

    def __init__(self, front: int | None = None) -> None:
        who = "" if front is None else f"front {front}, "
        super().__init__(f"%(levelname)s {who}%(name)s: %(message)s%(request)s")

    def format(self, record: logging.LogRecord) -> str:
        context = current()
        record.request = f" (request {context.request_id})" if context else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, request, trace, exception.

    With `front` where several serve.
    """

    def __init__(self, front: int | None = None) -> None:
        super().__init__()
        self._front = {} if front is None else {"front": front}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._front,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (context := current()) is not None:
            line |= {"request_id": context.request_id, "trace_id": context.trace_id}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
