"""What a page route works with: the request, who asks, in which language, and how to answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import compile_path, get_name
from starlette.types import Receive, Scope, Send

from appliance.domain import Phrase
from appliance.errors import (
    ApplianceError,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
)
from appliance.gateway.bodies import Refused
from appliance.gateway.http import record_of
from appliance.gateway.identity import KEY_HEADERS, Caller
from appliance.web import i18n, rendering
from appliance.web.frame import ErrorView, Frame, Logged
from appliance.web.parts import WebParts
from appliance.web.security import check_same_origin, secure_headers

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)
UNFORESEEN = Phrase("Something unexpected went wrong. Please try again.").template
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "theme"


class OpenPage:
    """A page that anyone may see: login, language, theme."""

    caller: Caller | None = None

    def __init__(self, request: Request, parts: WebParts) -> None:
        self.request = request
        self.parts = parts

    @cached_property
    def language(self) -> str:
        return i18n.choose_language(self.request, self.parts.language)

    @property
    def wants_fragment(self) -> bool:
        """True when htmx asks for a part of the page, not when it restores history."""
        headers = self.request.headers
        return "hx-request" in headers and "hx-history-restore-request" not in headers

    @property
    def request_id(self) -> str:
        """The ledger's id of this HTTP request."""
        return record_of(self.request).id

    def gettext(self, sentence: str) -> str:
        return i18n.translations(self.language).gettext(sentence)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return i18n.translations(self.language).ngettext(one, many, count)

    def phrase(self, phrase: Phrase) -> str:
        return i18n.translate(phrase, self.language)

    def html(self, template: str, view: DataclassInstance, *, block: str | None = None) -> str:
        """A template, or one block of it, as a string."""
        context = rendering.context_of(view) | {"frame": self.frame}
        return rendering.render(self.language, template, context, block=block)

    def render(
        self,
        template: str,
        view: DataclassInstance,
        *,
        block: str | None = None,
        status: int = 200,
    ) -> Response:
        # One URL answers whole pages and fragments, so caches must tell them apart.
        headers = {"Vary": "HX-Request, Cookie, Accept-Language", "Cache-Control": "no-store"}
        return HTMLResponse(self.html(template, view, block=block), status, headers)

    def redirect(self, path: str) -> Response:
        """Go to `path`: 303 for a form, HX-Redirect for htmx."""
        if self.wants_fragment:
            return Response(status_code=204, headers={"HX-Redirect": path})
        return RedirectResponse(path, status_code=303)

    @property
    def frame(self) -> Frame:
        theme = self.request.cookies.get(THEME_COOKIE, "auto")
        engine, caller = self.parts.engine.status, self.caller
        talks_only = caller is not None and caller.assistants is not None
        return Frame(
            language=self.language,
            theme=theme if theme in THEMES else "auto",
            path=self.request.url.path,
            caller_name=caller.name if caller else None,
            is_admin=caller is not None and caller.is_admin,
            may_ask=caller is None or (caller.may("chat") and not talks_only),
            talks_only=talks_only,
            via_session=caller is not None and caller.via == "session",
            engine=engine,
            demo=engine.facts is not None and engine.facts.model == self.parts.demo_model,
            version=self.parts.version,
            logged=self._logged,
        )

    @property
    def _logged(self) -> Logged:
        kept = self.parts.logged
        own = self.caller is None or self.caller.log_content == "full"
        return replace(kept, full=kept.full and own)


class Page(OpenPage):
    """A page whose reader is known."""

    def __init__(self, request: Request, parts: WebParts, caller: Caller) -> None:
        super().__init__(request, parts)
        self.caller: Caller = caller

    @property
    def owner(self) -> str | None:
        """Whose rows the ledger may show: None is everyone's, for an admin or an auditor."""
        return None if self.caller.sees_all else self.caller.name


PARTS = "appliance.web.parts"
CALLER = "appliance.web.caller"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def open_page(request: Request) -> OpenPage:
    return OpenPage(request, request.scope[PARTS])


async def known_page(request: Request) -> Page:
    parts: WebParts = request.scope[PARTS]
    request.scope[CALLER] = caller = await parts.identify(request)
    asked = request.method, request.url.path
    if caller.assistants is not None and asked != ("GET", "/assistants"):
        # Such a key is handed to strangers: it must not show one visitor what another has asked.
        raise PermissionDenied(
            "This key is for talking to certain assistants only. They stand on the page "
            "/assistants."
        )
    return Page(request, parts, caller)


def carrying(request: Request, key: str) -> Request:
    """As if this key had come in a header, and no other, with all that is checked there."""
    others = [one for one in request.scope["headers"] if one[0].decode() not in KEY_HEADERS]
    sent = (b"x-api-key", key.encode("latin-1", "replace"))
    return Request({**request.scope, "headers": [*others, sent]})


async def may_ask(page: Annotated[Page, Depends(known_page)]) -> None:
    """A dependency of pages on which one asks: a key for reading writes nothing down."""
    if not page.caller.may("chat"):
        raise PermissionDenied(
            "This key is for reading the history only. It stands on the page /history."
        )


OpenPageDep = Annotated[OpenPage, Depends(open_page)]
PageDep = Annotated[Page, Depends(known_page)]
ASKING = [Depends(may_ask)]
"""The dependencies of a router whose pages a key for the history alone has no use for."""


class PageRoute(APIRoute):
    """A route that shows errors as pages and sends the security headers.

    What FastAPI works out from an endpoint takes milliseconds, and waits for the first visitor.
    Such a route is mounted as it is, for `include_router` would not wait.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path, self.endpoint, self.name = path, endpoint, get_name(endpoint)
        self.methods, self.include_in_schema = set(options["methods"]), False
        self.response_class = HTMLResponse  # the schema looks at it, even of what is not in it
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self._options: dict[str, Any] | None = options | {"include_in_schema": False}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._options is not None:
            super().__init__(self.path, self.endpoint, **self._options)
            self._options = None
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.scope[PARTS] = request.app.state.pages
            try:
                check_same_origin(request)
                response = await answer(request)
            except ApplianceError as error:
                response = error_response(request, error)
            except RequestValidationError as error:
                response = error_response(request, _invalid(error))
            except HTTPException:
                raise  # a form that cannot be read; `http_error_page` shows it
            except Exception:
                logger.exception("The page %s failed", request.url.path)
                response = error_response(request, ApplianceError(UNFORESEEN))
            return secure_headers(response)

        return guarded


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


def _invalid(error: RequestValidationError) -> InvalidRequest:
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return InvalidRequest("%(name)s: %(problem)s", param=name, name=name, problem=first["msg"])
