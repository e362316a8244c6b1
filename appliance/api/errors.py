"""One error, two envelopes: OpenAI's on `/v1`, problem details (RFC 9457) everywhere else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from appliance.api.streams import ClientLeft
from appliance.errors import ApplianceError, NotAuthenticated
from appliance.gateway.bodies import Refused
from appliance.gateway.http import record_of

PROBLEM = "application/problem+json"
CLIENT_LEFT = 499  # nginx's status for a client that closed the connection; nobody reads it
OPENAI_PATHS = ("/v1", "/tokenize", "/detokenize")
UNION_TYPES = ("str", "int", "float", "bool")
NOT_A_FIELD = re.compile(r"[\[\-]|^[A-Z]")

ForPeople = Callable[[Request, HTTPException], Response]


def install(app: FastAPI, for_people: ForPeople | None = None) -> None:
    """Make every error of an API route leave in its dialect and enter the ledger row.

    `for_people` answers a browser that asked for no API, such as at an unknown address; None where
    there are no pages.
    """

    async def http_error(request: Request, error: HTTPException) -> Response:
        if for_people is not None and _is_for_people(request):
            return for_people(request, error)
        if isinstance(error, Refused):
            return await appliance_error(request, error.refusal)
        return await _http_error(request, error)

    handlers: dict[type[Exception], Any] = {
        ApplianceError: appliance_error,
        RequestValidationError: _validation_error,
        HTTPException: http_error,
        ClientLeft: _nobody_left,
        Exception: _unforeseen,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def envelope(error: ApplianceError) -> dict[str, Any]:
    """OpenAI's form, also for an `error` event in a stream."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
    kinds |= {404: "invalid_request_error", 429: "rate_limit_error"}
    return _openai(str(error), kinds.get(error.status, "server_error"), error.param, error.code)


def retry_headers(error: ApplianceError) -> dict[str, str]:
    if error.retry_after is None:
        return {}
    return {"retry-after": str(max(1, math.ceil(error.retry_after)))}


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type=PROBLEM)


def _openai(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _is_for_people(request: Request) -> bool:
    """Whether a browser shows the answer: it says so, or one of our pages does."""
    asks = "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers
    return asks and not _speaks_openai(request)


def _speaks_openai(request: Request) -> bool:
    return request.url.path.startswith(OPENAI_PATHS)


async def appliance_error(request: Request, error: ApplianceError) -> Response:
    """The error in the dialect of its address, noted in the ledger row."""
    record_of(request).error = str(error)
    if _speaks_openai(request):
        return JSONResponse(envelope(error), error.status, headers=retry_headers(error))
    # The seed of this project promised 403 for a bad key at /generate; clients rely on it.
    forbidden = isinstance(error, NotAuthenticated) and request.url.path == "/generate"
    response = problem(
        403 if forbidden else error.status,
        error.code.replace("_", " ").capitalize(),
        str(error),
        code=error.code,
        param=error.param,
        **error.phrase.values,
    )
    response.headers.update(retry_headers(error))
    return response


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    problems = _most_telling([_one_problem(item) for item in error.errors()])
    first = problems[0]
    message = " ".join(f"{p['param']}: {p['message']}." for p in problems)
    record_of(request).error = message
    if _speaks_openai(request):
        body = _openai(message, "invalid_request_error", first["param"], first["code"])
        return JSONResponse(body, 400)
    return problem(422, "Invalid input", message, errors=problems)


def _most_telling(problems: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without those that only say that another reading of the same field fails as well."""
    params = [problem["param"] for problem in problems]
    return [p for p in problems if not any(one.startswith(p["param"] + ".") for one in params)]


def _path(item: dict[str, Any]) -> list[str]:
    """The fields on the way to the problem, without Pydantic's names for its attempts at a union.

    What a caller has made up is always last, and stays.
    """
    path = [str(part) for part in item["loc"] if part != "body"]
    own = path[-1:] if item["type"] == "extra_forbidden" else []
    names = path[: len(path) - len(own)]
    kept = [n for n in names if n not in UNION_TYPES and not NOT_A_FIELD.search(n)]
    return kept + own


def _one_problem(item: dict[str, Any]) -> dict[str, str]:
    if item["type"] == "extra_forbidden":
        message, code = "this parameter is not supported here", "unsupported_parameter"
    else:
        message, code = item["msg"].removeprefix("Value error, "), "invalid_value"
        if isinstance(item.get("input"), str | int | float | bool):
            message = f"{message} (it was {str(item['input'])[:80]!r})"
    return {"param": ".".join(_path(item)) or "body", "message": message, "code": code}


async def _http_error(request: Request, error: HTTPException) -> Response:
    record_of(request).error = str(error.detail)
    if _speaks_openai(request):
        body = _openai(str(error.detail), "invalid_request_error", None, None)
        return JSONResponse(body, error.status_code, headers=error.headers)
    return problem(error.status_code, str(error.detail), str(error.detail))


async def _nobody_left(request: Request, error: ClientLeft) -> Response:
    record_of(request).error = "the client left"
    return Response(status_code=CLIENT_LEFT)


async def _unforeseen(request: Request, error: Exception) -> Response:
    record_of(request).error = f"{type(error).__name__}: {error}"
    message = "Something went wrong in the appliance; its log says more."
    if _speaks_openai(request):
        return JSONResponse(_openai(message, "server_error", None, "internal_error"), 500)
    return problem(500, "Internal error", message)
