"""What went wrong, as a page, as a notice on one, or as the way to the login."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from appliance.errors import ApplianceError, InvalidRequest, NotAuthenticated, NotFound
from appliance.gateway.bodies import Refused
from appliance.gateway.http import record_of
from appliance.web.frame import ErrorView
from appliance.web.page import CALLER, PARTS, open_page
from appliance.web.parts import WebParts
from appliance.web.security import secure_headers


def error_response(request: Request, error: ApplianceError) -> Response:
    """The way to the login page, a notice for htmx, or a whole page with the reason."""
    page = open_page(request)
    page.caller = request.scope.get(CALLER)
    record_of(request).error = str(error)
    if isinstance(error, NotAuthenticated):
        return page.redirect(_login(request))
    title, message = page.gettext("That did not work"), page.phrase(error.phrase)
    view = ErrorView(error.status, title, message, _again(request, error.status))
    if not page.wants_fragment:
        return page.render("error.html", view, status=error.status)
    response = page.render("error.html", view, block="notice", status=error.status)
    response.headers.update({"HX-Retarget": "#notices", "HX-Reswap": "innerHTML"})
    return response


def http_error_page(parts: WebParts) -> Callable[[Request, HTTPException], Response]:
    """Errors outside of all pages, such as an unknown address, for people with a browser."""

    def show(request: Request, error: HTTPException) -> Response:
        request.scope[PARTS] = parts
        shown = error_response(request, _worded(error))
        if not isinstance(error, Refused):
            shown.status_code = error.status_code
        return secure_headers(shown)

    return show


def invalid(error: RequestValidationError) -> InvalidRequest:
    """A form that lacks a field or has one of the wrong kind: names the first."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return InvalidRequest("%(name)s: %(problem)s", param=name, name=name, problem=first["msg"])


def _worded(error: HTTPException) -> ApplianceError:
    if error.status_code == 404:
        return NotFound("There is no page at this address.")
    if isinstance(error, Refused):
        return error.refusal
    return InvalidRequest("%(problem)s", problem=error.detail)


def _login(request: Request) -> str:
    """After login one comes back to a page, never to a form's address."""
    path = request.url.path if request.method == "GET" else "/"
    return f"/login?next={quote(path)}"


def _again(request: Request, status: int) -> str:
    """The same page, where the fault may pass: one that is the appliance's, or being too often."""
    may_pass = request.method == "GET" and (status >= 500 or status == 429)
    return request.url.path + f"?{request.url.query}".rstrip("?") if may_pass else ""
