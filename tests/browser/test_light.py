"""Every page is light, quick and whole by itself: nothing from elsewhere, nothing inline.

`pytest tests/browser/test_light.py --log-cli-level=info` prints what was measured.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.access.rows import ROWS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
logger = logging.getLogger(__name__)
HEAVIEST = 120 * 1024
"""Bytes over the wire of a page with all it loads, as its first visitor has it."""
SLOWEST_MS = 1000
"""To the first byte of the quickest of three, on a machine that is busy with other tests."""
LOADED = """() => performance.getEntriesByType("resource")
    .map(({ name, transferSize }) => [name, transferSize])"""
MOST_FACES = 12
"""Of family, size and weight: a browser asks the system for each one before it paints."""
FACES = """() => new Set([...document.body.querySelectorAll("*")]
    .filter((one) => one.checkVisibility() && [...one.childNodes].some(
        ({ nodeType, data }) => nodeType === Node.TEXT_NODE && data.trim()))
    .map((one) => getComputedStyle(one))
    .map(({ fontFamily, fontSize, fontWeight }) => `${fontFamily} ${fontSize} ${fontWeight}`)).size
"""
START = re.compile(r"<script\b(?: src=\"/static/(\w+))?")
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"

# A frame's callbacks run before it is laid out, so the count is of those that are done.
FRAMES_BEFORE_FOCUS = """
let frames = 0;
const count = () => { setTimeout(() => { frames += 1; }); requestAnimationFrame(count); };
requestAnimationFrame(count);
addEventListener("focusin", () => { globalThis.framesBeforeFocus ??= frames; });
"""


class Inline(HTMLParser):
    """Keeps what a strict policy would have to make an exception for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        names = [name for name, _ in attrs]
        self.found += [f"{tag} {name}" for name in names if re.match(r"on\w|style$|hx-on", name)]
        if tag == "style":
            self.found.append(tag)

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.found.append(f"script {data.strip()[:40]}")


def pages(url: str) -> Iterator[tuple[str, str, float]]:
    """Address, HTML and milliseconds to the first byte of every page there is."""
    asked = httpx2.post(f"{url}/generate", json={"prompt": "text Hello"}, timeout=60)
    chat = httpx2.post(f"{url}/chat", data={"prompt": "text Hello"}, timeout=60)
    places = [row.removeprefix("GET ") for row in ROWS if row.startswith("GET ") and "{" not in row]
    places += [f"/history/{asked.headers['x-request-id']}", chat.headers["location"]]
    places += ["/assistants/tutor/share", "/assistants/tutor/talk", "/no/such/page"]
    with httpx2.Client(base_url=url, timeout=60) as client:
        for place in places:
            took = []
            for _ in range(3):
                start = time.perf_counter()
                with client.stream("GET", place, headers={"accept": "text/html"}) as answer:
                    took.append((time.perf_counter() - start) * 1000)
                    if not answer.headers.get("content-type", "").startswith("text/html"):
                        break
                    html = answer.read().decode()
            else:
                if "<html" in html:
                    yield place, html, min(took)


def test_every_page_is_light_and_loads_nothing_from_elsewhere(
    chromium: Browser, live_url: str
) -> None:
    measured = []
    for place, html, first_byte in pages(live_url):
        if place.startswith("/docs"):
            continue  # Swagger UI is 1.5 MB and no page of ours; it is local all the same
        context = chromium.new_context(base_url=live_url)
        page = context.new_page()
        page.goto(place)
        if place != "/offline":  # which is kept by the browser, with the one script that it has
            assert START.findall(html) == ["start"], place
            expect(page.locator("html")).to_have_attribute("data-ready", "")
        loaded = page.evaluate(LOADED)
        assert [name for name, _ in loaded if not name.startswith((live_url, "data:"))] == [], place
        assert Inline(html).found == [], place
        weight = page.evaluate("performance.getEntriesByType('navigation')[0].transferSize")
        weight += sum(size for _, size in loaded)
        faces = page.evaluate(FACES)
        measured.append((place, first_byte, page.evaluate(PAINTED), weight, faces))
        context.close()
    for place, first_byte, painted, weight, faces in measured:
        told = place, first_byte, painted, weight / 1024, faces
        logger.info("%-44s %5.0f ms %5.0f ms %7.1f KB %3d faces", *told)
    assert {"/", "/write", "/code", "/keys", "/history", "/status"} <= {row[0] for row in measured}
    assert [row for row in measured if row[3] > HEAVIEST] == []
    assert [row for row in measured if row[1] > SLOWEST_MS] == []
    assert [row for row in measured if row[4] > MOST_FACES] == []


def test_the_field_is_focused_after_the_first_frame_and_after_each_swap(
    chromium: Browser, live_url: str
) -> None:
    context = chromium.new_context(base_url=live_url)
    page = context.new_page()
    page.add_init_script(FRAMES_BEFORE_FOCUS)
    page.goto("/")
    expect(page.locator("#prompt")).to_be_focused()
    assert page.evaluate("framesBeforeFocus") > 0
    page.keyboard.type("text Hello")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chat/*")
    expect(page.locator("#prompt")).to_be_focused()
    context.close()


def test_what_is_inline_is_seen() -> None:
    html = "<p style='x' onclick='y'><style>z</style><script>w</script><script src='/v'></script>"
    assert Inline(html).found == ["p style", "p onclick", "style", "script w"]
