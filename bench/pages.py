"""How soon a page is there: first byte, first paint and bytes, in real Chromium, page by page.

    python -m bench.pages                       an appliance of its own, on a scripted engine
    python -m bench.pages --url http://127.0.0.1:8000 --rounds 9

A *first visit* is a browser profile that has never been here; the *next* one opens the page again
in the same profile, as somebody does who keeps it open all day. An empty page, served the same way,
is measured beside them: what it takes, the browser takes for any page here. Aims: the first paint
within 100 ms, and 120 KB.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from bench.report import heading, markdown, spread
from tests.browser.conftest import DESKTOP, NAMES, QUIET
from tests.live import appliance
from tests.scripted_engine import KEY, scripted_engine, serving

PAGES = (
    *("/", "/chats", "/assistants", "/assistants/tutor/talk", "/write", "/code", "/history"),
    *("/history/charts", "/history/mine", "/keys", "/connect", "/status", "/login", "/trust"),
)
EMPTY = '<!doctype html><html lang=en><link rel=icon href="data:,"><title>x</title><p>Hello'
PAINTED = """() => new Promise((found) => new PerformanceObserver((list) => {
    const paint = list.getEntriesByName("first-contentful-paint")[0];
    if (!paint) return;
    const page = performance.getEntriesByType("navigation")[0];
    const bytes = performance.getEntriesByType("resource").map(({ transferSize }) => transferSize);
    found([page.responseStart, paint.startTime, bytes.reduce((a, b) => a + b, page.transferSize)]);
}).observe({ type: "paint", buffered: true }))"""

# What a first visit leaves behind is done by the time of the next one.
SETTLED = """async () => {
    if (await navigator.serviceWorker?.getRegistration()) await navigator.serviceWorker.ready;
}"""


@dataclass
class Visits:
    """Milliseconds to the first byte and to the first paint, and bytes: one a round."""

    first_byte: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def look(self, page: Page, url: str) -> None:
        page.goto(url, wait_until="load")
        for kept, seen in zip(
            (self.first_byte, self.painted, self.bytes), page.evaluate(PAINTED), strict=True
        ):
            kept.append(seen)


Found = dict[str, tuple[Visits, Visits]]


def measure(browser: Browser, urls: tuple[str, ...], rounds: int, locale: str = "en-GB") -> Found:
    """Per address its first visits and the next ones; addresses take turns round by round."""
    found: Found = {url: (Visits(), Visits()) for url in urls}
    for _ in range(rounds):
        for url in urls:
            context = browser.new_context(viewport=DESKTOP, locale=locale)
            page = context.new_page()
            for visits in found[url]:
                visits.look(page, url)
                page.evaluate(SETTLED)
                page.goto("about:blank")
            context.close()
    return found


def table(found: Found) -> str:
    rows = [
        [
            url,
            spread(first.first_byte),
            spread(first.painted),
            spread([size / 1024 for size in first.bytes]),
            spread(again.painted),
            spread([size / 1024 for size in again.bytes]),
        ]
        for url, (first, again) in found.items()
    ]
    names = ["page", "first byte, ms", "first visit, ms", "KB", "next visit, ms", "KB"]
    return markdown(names, rows)


@contextmanager
def an_appliance(url: str | None) -> Iterator[str]:
    """The one that was named, or one of its own with nothing but its pages to do."""
    with ExitStack() as stack:
        if url is None:
            engine = stack.enter_context(scripted_engine())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            remote = ("--engine", "remote", "--engine-url", engine.url, "--engine-key", KEY)
            running = stack.enter_context(appliance(folder, *remote))
            running.wait_ready()
            url = running.url
        yield url.rstrip("/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="an appliance that runs already")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--locale", default="en-GB", help="of the browser, such as zh-CN")
    options = parser.parse_args()
    path = next(filter(None, map(shutil.which, NAMES)))
    print(heading("How soon a page is there"))
    empty = Starlette(routes=[Route("/", lambda _: HTMLResponse(EMPTY))])
    with an_appliance(options.url) as url, serving(empty) as nothing, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=QUIET)
        urls = (f"{nothing}/", *(url + path for path in PAGES))
        measure(browser, urls[:2], 1)  # the browser itself warms up
        found = measure(browser, urls, options.rounds, options.locale)
        print(f"**Browser:** Chromium {browser.version}. Cells: median (least–most).\n")
        browser.close()
    shown = {("an empty page" if at == urls[0] else at.removeprefix(url)): found[at] for at in urls}
    print(table(shown))


if __name__ == "__main__":
    main()
