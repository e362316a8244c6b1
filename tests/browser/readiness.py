"""Waits until a page's scripts are at work, which is after `load` (static/start.js).

A person sees no sign of it and need not wait: till then links and forms work as they do without a
script. But it is not the same way, and a test says which one it walks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

AT_WORK = """() => !document.querySelector("script[data-scripts]")
    || "ready" in document.documentElement.dataset"""
NOT_YET = "html:not([data-ready]):has(script[data-scripts])"
LEADING = ("goto", "reload", "go_back", "go_forward", "wait_for_url")
KEYS = ("press", "type", "down", "insert_text")


def wait_until_ready(page: Page) -> None:
    page.wait_for_function(AT_WORK)


def be_patient(page: Page) -> None:
    """Has every step on a page wait for scripts: what opens a page returns when they are at work; a
    key, and whatever waits by itself (a click, `expect`), comes when they are."""
    if LEADING[0] in vars(page):
        return
    # Such a locator is looked for before each step that waits, and waited for until it is gone.
    page.add_locator_handler(page.locator(NOT_YET), lambda: None)
    for name in LEADING:
        _then(page, name, lambda: wait_until_ready(page))
    for name in KEYS:
        _first(page.keyboard, name, lambda: wait_until_ready(page))


def patient_browser(browser: Browser) -> Browser:
    """The browser, on each of whose pages all is patient, unless it has no JavaScript.

    `Browser.new_context(browser, …)` makes one for pages on which nobody waits."""
    made = browser.new_context

    @wraps(made)
    def new_context(**options: Any) -> BrowserContext:
        context = made(**options)
        if options.get("java_script_enabled") is not False:
            vars(context)["new_page"] = _opening(context.new_page)
            context.on("page", be_patient)  # one that a page opens
        return context

    vars(browser)["new_context"] = new_context
    return browser


def _opening(open_page: Callable[[], Page]) -> Callable[[], Page]:
    def opened() -> Page:
        page = open_page()
        be_patient(page)  # by now, where the event comes a moment later
        return page

    return opened


def _then(owner: object, name: str, wait: Callable[[], None]) -> None:
    act = getattr(owner, name)

    @wraps(act)
    def acted(*values: Any, **options: Any) -> Any:
        result = act(*values, **options)
        wait()
        return result

    vars(owner)[name] = acted


def _first(owner: object, name: str, wait: Callable[[], None]) -> None:
    act = getattr(owner, name)

    @wraps(act)
    def acted(*values: Any, **options: Any) -> Any:
        wait()
        return act(*values, **options)

    vars(owner)[name] = acted
