"""Real Chromium over a real appliance, whose engine says exactly what a test asks it to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.readiness import patient_browser
from tests.live import appliance
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}
# Five seconds, the library's own, are short for a machine that does other things too.
expect.set_options(timeout=30_000)


def wait_for(locator: Locator) -> None:
    """Until it is in sight. Without a script a page asks again by itself; a Chromium that is driven
    now and then does not, though the page says so, and then this reloads as a reader would."""
    for _ in range(9):
        with suppress(PlaywrightTimeout):
            locator.first.wait_for(timeout=6_000)
            return
        locator.page.reload()
    expect(locator.first).to_be_visible()


@pytest.fixture(scope="session")
def answering() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running:
        yield running


@pytest.fixture
def engine(answering: ScriptedEngine) -> Iterator[ScriptedEngine]:
    """The engine below, for a test that lets an answer `wait` and then releases it."""
    answering.release.clear()
    yield answering
    answering.release.set()


@pytest.fixture(scope="session")
def live_url(answering: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An appliance on a scripted engine: no test depends on what a model happens to say.

    What is asked begins with the script of its answer: `say A B`, `text …`, `endless`.
    """
    folder = tmp_path_factory.mktemp("browser")
    remote = ("--engine", "remote", "--engine-url", answering.url, "--engine-key", KEY)
    with appliance(folder, *remote) as running:
        running.wait_ready()
        yield running.url


def found_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def chromium_path() -> str:
    """Skips without a browser, except in CI, where that would hide every test here."""
    if (path := found_chromium()) is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail("No Chromium found. Install it: apt-get install chromium")
    pytest.skip("no Chromium found; install it to run the browser tests")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not for the whole session: while Playwright is open its event loop counts as running in this
    thread, and no asynchronous test could have one of its own."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield patient_browser(browser)
        browser.close()


@pytest.fixture
def context(chromium: Browser, live_url: str) -> Iterator[BrowserContext]:
    made = chromium.new_context(viewport=DESKTOP, locale="en-GB", base_url=live_url)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; anything it complains about on its console fails the test."""
    complaints: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    yield opened
    assert complaints == []
