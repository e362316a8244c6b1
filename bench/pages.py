"""How soon a page is there: first byte, first paint and bytes, in real Chromium, page by page.

    python -m bench.pages                       an appliance of its own, on a scripted engine
    python -m bench.pages --url http://127.0.0.1:8000 --rounds 9

A *first visit* is a browser profile that has never been here; the *next* one opens the page again
in the same profile, from an empty tab; *from within* follows a link on another page here, as
somebody does all day. Each begins when the browser has come to rest, for opening a window takes the
same processors as opening a page. An empty page, with the same headers, is measured beside them:
what it takes, the browser takes for any page here. Aims: the first paint within 100 ms, and 120 KB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.web.security import SecureHeaders, secure_headers
from bench.chromium import Chromium, Tab
from bench.ending import end_with_children
from bench.report import heading, markdown, spread
from tests.browser.conftest import DESKTOP, NAMES, QUIET, found_chromium
from tests.browser.readiness import AT_WORK
from tests.live import appliance
from tests.scripted_engine import KEY, scripted_engine, serving

PAGES = (
    *("/", "/chats", "/assistants", "/assistants/tutor/talk", "/write", "/code", "/history"),
    *("/history/charts", "/history/mine", "/keys", "/connect", "/status", "/login", "/trust"),
)
EMPTY = '<!doctype html><html lang=en><link rel=icon href="data:,"><title>x</title><p>Hello'
ELSEWHERE = "/connect"
# Scripts begin after the first frame (static/start.js); their bytes are of the page all the same.
SCRIPTED = f"""new Promise((found) => {{
    const look = () => ({AT_WORK})() ? found() : setTimeout(look, 50);
    look();
}})"""
PAINTED = """new Promise((found) => new PerformanceObserver((list) => {
    const paint = list.getEntriesByName("first-contentful-paint")[0];
    if (!paint) return;
    const page = performance.getEntriesByType("navigation")[0];
    const bytes = performance.getEntriesByType("resource").map(({ transferSize }) => transferSize);
    found([page.responseStart, paint.startTime, bytes.reduce((a, b) => a + b, page.transferSize)]);
}).observe({ type: "paint", buffered: true }))"""

# Seconds after which a browser is done with a page, or with opening a window or leaving a page.
AT_REST = 0.5

# What a first visit leaves behind is done by the time of the next one.
SETTLED = """(async () => {
    if (document.querySelector("script[src*=install]")) await navigator.serviceWorker.ready;
})()"""


@dataclass
class Visits:
    """Milliseconds to the first byte and to the first paint, and bytes: one a round."""

    first_byte: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def look(self, tab: Tab) -> None:
        """At a page that is being opened."""
        time.sleep(AT_REST)
        tab.ask(SCRIPTED)
        for kept, seen in zip(
            (self.first_byte, self.painted, self.bytes), tab.ask(PAINTED), strict=True
        ):
            kept.append(seen)


class Visited:
    """One address: its first visits, the next ones, and those by a link from within."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.first, self.again, self.within = Visits(), Visits(), Visits()

    def visit(self, tab: Tab) -> None:
        """A round in a profile that has never been here."""
        for visits in (self.first, self.again):
            time.sleep(AT_REST)
            tab.go(self.url)
            visits.look(tab)
            tab.ask(SETTLED)
            tab.go("about:blank")
        tab.go(urljoin(self.url, ELSEWHERE))
        time.sleep(AT_REST)
        tab.ask(f"location.assign({json.dumps(self.url)})")
        self.within.look(tab)


def measure(browser: Chromium, urls: Iterable[str], rounds: int) -> list[Visited]:
    """Addresses take turns round by round."""
    found = [Visited(url) for url in urls]
    for _ in range(rounds):
        for one in found:
            with browser.profile() as profile:
                one.visit(browser.tab(profile, **DESKTOP))
    return found


def table(found: Iterable[Visited], named: Callable[[str], str]) -> str:
    rows = [
        [
            named(one.url),
            spread(one.first.first_byte),
            spread(one.first.painted),
            spread([size / 1024 for size in one.first.bytes]),
            spread(one.again.painted),
            spread(one.within.painted),
            spread([size / 1024 for size in one.again.bytes]),
        ]
        for one in found
    ]
    names = ["page", "first byte, ms", "first visit, ms", "KB", "next visit, ms"]
    return markdown([*names, "from within, ms", "KB"], rows)


async def empty(_: Request) -> Response:
    return secure_headers(Response(EMPTY, media_type="text/html"))


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
    end_with_children()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="an appliance that runs already")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--locale", default="en-GB", help="of the browser, such as zh-CN")
    options = parser.parse_args()
    path = found_chromium()
    if path is None:
        parser.error(f"This needs a Chromium: {', '.join(NAMES)}.")
    print(heading("How soon a page is there"))
    bare = SecureHeaders(Starlette(routes=[Route("/", empty), Route(ELSEWHERE, empty)]))
    speaking = f"--accept-lang={options.locale}"
    with (
        an_appliance(options.url) as url,
        serving(bare) as nothing,
        Chromium(path, [*QUIET, speaking]) as browser,
    ):
        urls = (f"{nothing}/", *(url + path for path in PAGES))
        measure(browser, urls, 1)  # the browser itself warms up, and each page is put together
        found = measure(browser, urls, options.rounds)
        print(f"**Browser:** Chromium {browser.version}. Cells: median (least–most).\n")
    print(table(found, lambda at: "an empty page" if at == urls[0] else at.removeprefix(url)))


if __name__ == "__main__":
    main()
