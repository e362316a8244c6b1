"""One walk through everything, in each of the ways there are to go it.

Wide and narrow, English and Chinese, with and without JavaScript: what only one of them can do
stands in the files beside this one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, wait_for
from tests.browser.test_assistants import ANSWER
from tests.browser.test_chat import scrolls_sideways
from tests.browser.test_workbench import CODE

pytestmark = pytest.mark.browser
# Without its fence, whose inside alone the scripted engine would say.
SAID = ANSWER.partition("```")[0]
BROKEN = CODE.replace("return x", "return (x")
TAGS = {"en": "en", "zh": "zh-Hans"}
NAMES = {"en": "English", "zh": "中文"}
AWAY = {"en": "The appliance cannot be reached", "zh": "无法连接到一体机"}
KNOWN = {"en": "How long does delivery take?", "zh": "配送需要多久？"}
AGAIN = {"en": "Asked before", "zh": "有人问过"}
UNKNOWN = {"en": "Do you sell bicycles?", "zh": "你们卖自行车吗？"}
WAYS = [
    pytest.param(*way, id="-".join((("narrow", "wide")[way[0] is DESKTOP], way[1], way[2])))
    for way in itertools.product((DESKTOP, PHONE), ("en", "zh"), ("script", "forms"))
]


@pytest.fixture
def walker(
    chromium: Browser, live_url: str, viewport: ViewportSize, language: str, means: str
) -> Iterator[Page]:
    """A tab of that way; everything it asks for is ours."""
    asked: list[str] = []
    context = chromium.new_context(
        viewport=viewport, locale=language, base_url=live_url, java_script_enabled=means == "script"
    )
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((live_url, "blob:"))] == []


@pytest.mark.parametrize(("viewport", "language", "means"), WAYS)
def test_everything_is_there(walker: Page, language: str, means: str) -> None:
    for walk in (chat, assistant, writing, code, look, install):
        walk(walker, language)
        assert not scrolls_sideways(walker), walk.__name__
        expect(walker.locator("html")).to_have_attribute("lang", TAGS[language])
    away(walker, language, means)
    assert not scrolls_sideways(walker)


def chat(page: Page, _: str) -> None:
    """What a model writes is shown and made harmless; its links are marked."""
    page.goto("/")
    send(page, SAID)
    answer = page.locator("article.answer")
    wait_for(page.locator(".message-actions"))
    expect(answer.locator("math msup")).to_be_visible()
    expect(answer.locator("img, script")).to_have_count(0)
    link = answer.get_by_role("link", name="link", exact=True)
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", re.compile("noopener"))


def assistant(page: Page, language: str) -> None:
    """The service says what it does not know and hands over, and marks what was asked before."""
    page.goto("/assistants/service/talk")
    send(page, UNKNOWN[language])
    wait_for(page.locator("article.answer .badge.warn"))
    expect(page.locator("article.answer .prose").last).to_contain_text("service@shop.example")
    for _ in range(2):  # two customers, each in a talk of their own
        page.goto("/assistants/service/talk")
        send(page, KNOWN[language])
        wait_for(page.locator("article.answer .sources"))
    expect(page.locator("article.answer .badge.info")).to_contain_text(AGAIN[language])


def writing(page: Page, _: str) -> None:
    """A change is accepted, and the text is kept with it."""
    order(page, "/write", "text It is old.", "polish")
    wait_for(page.locator("#difference .change"))
    expect(page.locator("#difference .change")).to_have_count(1)
    page.locator(".accept").click()
    page.wait_for_url(re.compile("/write/drafts/"))
    expect(page.locator("#text")).to_have_value("It is old.")


def code(page: Page, _: str) -> None:
    """The fault is shown in its line, and the program is a file."""
    order(page, "/code", f"text Found it.\n````python\n{BROKEN}````\n", "refactor")
    wait_for(page.locator(".fault-line.wrong"))
    expect(page.locator(".fault-line.wrong")).to_contain_text("return (x")
    with page.expect_download() as saved:
        page.locator("#outcome a[download]").click()
    assert saved.value.path().read_text("utf-8") == BROKEN


def look(page: Page, language: str) -> None:
    """Theme and language are a button each, at once and on every page from then on."""
    page.goto("/status")
    ground = _ground(page)
    press(page, {"en": "Dark", "zh": "深色"}[language])
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    other = {"en": "zh", "zh": "en"}[language]
    press(page, NAMES[other])
    expect(page.locator("html")).to_have_attribute("lang", TAGS[other])
    page.goto("/write")
    expect(page.locator("html")).to_have_attribute("lang", TAGS[other])
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert _ground(page) != ground
    press(page, NAMES[language])
    expect(page.locator("html")).to_have_attribute("lang", TAGS[language])


def install(page: Page, language: str) -> None:
    """What a browser needs to install the pages is named by them, and is there."""
    page.goto("/code")
    place = page.locator("link[rel=manifest]").get_attribute("href")
    manifest = page.context.request.get(str(place), headers={"accept-language": language}).json()
    assert (manifest["lang"], manifest["display"]) == (TAGS[language], "standalone")
    page.goto(manifest["start_url"])
    expect(page.locator("#prompt")).to_be_visible()
    for icon in manifest["icons"]:
        assert page.context.request.get(icon["src"]).headers["content-type"] == icon["type"]


def away(page: Page, language: str, means: str) -> None:
    """What is shown while the appliance is away speaks the reader's language first.

    A service worker shows it, which takes a script; its page is whole without one.
    """
    if means == "forms":
        page.goto("/offline")
        expect(page.locator("h1")).to_have_text(AWAY[language])
        expect(page.locator(".button.primary").first).to_be_in_viewport(ratio=1)
        return
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("() => navigator.serviceWorker.controller")
    page.context.set_offline(True)
    page.goto("/status")
    expect(page.locator("h1")).to_have_text(AWAY[language])
    page.context.set_offline(False)
    expect(page.locator("h1")).not_to_have_text(AWAY[language])


def press(page: Page, name: str) -> None:
    """A button at the foot of the side, which a phone shows by its menu."""
    button = page.locator("#sidebar").get_by_role("button", name=name, exact=True)
    if not button.is_visible():
        page.locator(".topbar .menu summary").click()
    button.click()


def _ground(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def send(page: Page, text: str) -> None:
    """Writes and sends, with a button that is wholly in sight."""
    page.locator("#prompt").fill(text)
    button = page.locator(".send")
    expect(button).to_be_in_viewport(ratio=1)
    button.click()


def order(page: Page, path: str, text: str, task: str) -> None:
    page.goto(path)
    page.locator("#text").fill(text)
    page.locator(f"input[value={task}]").check(force=True)
    page.locator("#order .primary").click()
