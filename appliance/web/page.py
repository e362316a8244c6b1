"""What a page route works with: the request, who asks, in which language, and how to answer."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from appliance.domain import Phrase
from appliance.errors import PermissionDenied
from appliance.gateway.http import record_of
from appliance.gateway.identity import KEY_HEADERS, Caller
from appliance.web import i18n, rendering
from appliance.web.frame import Frame, Logged
from appliance.web.parts import WebParts

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
