"""The chat as a person meets it: it grows, stops, survives, and needs no script."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, wait_for
from tests.scripted_engine import ScriptedEngine

pytestmark = pytest.mark.browser

LONG = "endless story about a lighthouse keeper"
SHORT = "say Hello dear reader"
MILLISECONDS = 60_000


def ask(page: Page, prompt: str) -> None:
    page.goto("/")
    page.fill("#prompt", prompt)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/chat/"))


def words_shown(page: Page) -> int:
    return len(page.locator(".answer .prose").last.inner_text().split())


def wait_for_words(page: Page, count: int) -> None:
    page.wait_for_function(
        """count => [...document.querySelectorAll(".answer .prose")].at(-1)
           ?.innerText.trim().split(/\\s+/).length >= count""",
        arg=count,
        timeout=MILLISECONDS,
    )


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.scrollingElement.scrollWidth > innerWidth"))


def test_an_answer_grows_and_ends(page: Page, engine: ScriptedEngine) -> None:
    ask(page, "wait for it")
    expect(page.locator(".question")).to_have_text(re.compile("wait for it"))
    expect(page.locator(".stream .prose")).to_have_text("wait")
    engine.release.set()
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=MILLISECONDS)
    expect(page.locator(".answer .prose")).to_have_text("wait")
    expect(page.locator(".stream")).to_have_count(0)
    # By its address: the title is the question's until the model has found one.
    expect(page.locator(f"#chats a[href$='{page.url[-26:]}']")).to_be_visible()
    expect(page.locator("#announce")).to_have_text("The answer is complete.")


def test_stop_keeps_what_was_said_also_after_a_reload(page: Page) -> None:
    ask(page, LONG)
    wait_for_words(page, 5)
    seen = words_shown(page)
    wait_for_words(page, seen + 5)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.", exact=True)).to_be_visible(timeout=MILLISECONDS)
    kept = page.locator(".answer .prose").inner_text()
    page.reload()
    assert page.locator(".answer .prose").inner_text() == kept
    expect(page.locator(".stream")).to_have_count(0)


def test_a_closed_tab_does_not_end_it_and_a_new_one_goes_on(
    page: Page, context: BrowserContext
) -> None:
    ask(page, LONG)
    wait_for_words(page, 5)
    seen, url = words_shown(page), page.url
    page.close()
    again = context.new_page()
    again.goto(url)
    wait_for_words(again, seen + 10)
    expect(again.locator(".stream")).to_have_count(1)
    again.get_by_role("button", name="Stop").click()
    expect(again.get_by_text("Stopped.", exact=True)).to_be_visible(timeout=MILLISECONDS)


def test_it_goes_on_within_one_conversation(page: Page) -> None:
    ask(page, SHORT)
    expect(page.locator(".message-actions")).to_have_count(1, timeout=MILLISECONDS)
    page.fill("#prompt", "say And goodbye?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Please.")
    page.keyboard.press("Enter")
    expect(page.locator(".question").last).to_contain_text("say And goodbye?\nPlease.")
    expect(page.locator("#prompt")).to_have_value("")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".message-actions")).to_have_count(2, timeout=MILLISECONDS)


def test_another_answer_takes_the_place_of_the_last(page: Page, engine: ScriptedEngine) -> None:
    engine.release.set()
    ask(page, "wait for it")
    another = page.get_by_role("button", name="Another answer")
    expect(another).to_be_visible(timeout=MILLISECONDS)
    engine.release.clear()
    another.click()
    expect(page.locator(".stream")).to_have_count(1)
    engine.release.set()
    expect(another).to_be_visible(timeout=MILLISECONDS)
    expect(page.locator(".answer")).to_have_count(1)


def test_rename_and_delete(page: Page) -> None:
    ask(page, SHORT)
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=MILLISECONDS)
    url = page.url
    page.get_by_label("Rename, move, save or delete").click()
    page.get_by_label("Name", exact=True).fill("Greetings & more")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Greetings & more")).to_be_visible()
    page.get_by_label("Rename, move, save or delete").click()
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Yes, delete it").click()
    page.wait_for_url("**/")
    assert page.request.get(url).status == 404


def test_a_phone_has_a_menu_and_no_sideways_scroll(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto("/")
    assert not scrolls_sideways(page)
    expect(page.locator("#sidebar")).to_be_hidden()
    page.get_by_label("Menu").click()
    expect(page.get_by_role("link", name="Status")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()
    ask(page, "Word" * 60)
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=MILLISECONDS)
    assert not scrolls_sideways(page)


def test_on_paper_there_is_what_was_said_and_no_handle(page: Page) -> None:
    ask(page, "say one two")
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=MILLISECONDS)
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".answer .prose")).to_have_text("one two")
    for handle in ("#sidebar", ".composer-dock", ".message-actions", ".chat-tools"):
        expect(page.locator(handle).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(31, 29, 26)"


def test_chinese_is_one_click_away_and_stays(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="有什么可以帮您？")).to_be_visible()
    page.goto("/status")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"


def test_the_theme_changes_at_once_and_stays(page: Page) -> None:
    page.goto("/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    with page.expect_response("**/theme"):
        page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert dark != before
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_it_works_without_a_script(chromium: Browser, live_url: str) -> None:
    context = chromium.new_context(
        viewport=DESKTOP, locale="en-GB", base_url=live_url, java_script_enabled=False
    )
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Your message").fill(LONG)
    page.get_by_role("button", name="Send").click()
    page.wait_for_url(re.compile("/chat/"))
    # The page looks again by itself until there is something to see.
    wait_for(page.locator(".answer .prose", has_text=re.compile(r"\w")))
    expect(page.locator(".answer .prose")).to_have_text(re.compile(r"\w"), timeout=MILLISECONDS)
    page.get_by_role("button", name="Stop").click()
    wait_for(page.get_by_text("Stopped.", exact=True))
    page.get_by_label("Rename, move, save or delete").click()
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Yes, delete it").click()
    page.wait_for_url("**/")
    context.close()
