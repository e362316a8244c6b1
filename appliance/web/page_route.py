"""The route of every page: errors become pages, and each answer has the pages' policy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import compile_path, get_name
from starlette.types import Receive, Scope, Send

from appliance.domain import Phrase
from appliance.errors import ApplianceError
from appliance.web.error_pages import error_response, invalid
from appliance.web.page import PARTS
from appliance.web.security import check_same_origin, secure_headers

logger = logging.getLogger(__name__)
UNFORESEEN = Phrase("Something unexpected went wrong. Please try again.").template
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


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
                response = error_response(request, invalid(error))
            except HTTPException:
                raise  # a form that cannot be read; `http_error_page` shows it
            except Exception:
                logger.exception("The page %s failed", request.url.path)
                response = error_response(request, ApplianceError(UNFORESEEN))
            return secure_headers(response)

        return guarded
