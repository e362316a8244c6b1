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
def test_everything_is_there(walker: Page, language: str) -> None:
    for walk in (chat, assistant, writing, code):
        walk(walker, language)
        assert not scrolls_sideways(walker), walk.__name__
    lang = "zh-Hans" if language == "zh" else "en"
    expect(walker.locator("html")).to_have_attribute("lang", lang)


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
    """The service says what it does not know, and hands over."""
    page.goto("/assistants/service/talk")
    send(page, UNKNOWN[language])
    wait_for(page.locator("article.answer .badge.warn"))
    expect(page.locator("article.answer .prose").last).to_contain_text("service@shop.example")


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
