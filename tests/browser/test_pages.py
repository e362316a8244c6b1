"""Keys, history, status and the assistants as a person meets them, on a scripted engine."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import DESKTOP, PHONE

pytestmark = pytest.mark.browser

MILLISECONDS = 60_000
PAGES = (
    *("/write", "/code", "/history", "/keys", "/status", "/login", "/chats", "/connect", "/trust"),
    *("/assistants", "/assistants/new?like=service", "/assistants/service/share"),
)
LONG = "endless letter from the keeper of the lighthouse to the sea"


def order(page: Page, path: str, text: str, task: str) -> None:
    page.goto(path)
    page.fill("#text", text)
    page.check(f"input[value={task}]", force=True)
    page.click("#order .primary")


def wait_for_words(page: Page, count: int) -> None:
    page.wait_for_function(
        """count => (document.querySelector("#result .prose")?.innerText ?? "")
           .trim().split(/\\s+/).filter(Boolean).length >= count""",
        arg=count,
        timeout=MILLISECONDS,
    )


def said(page: Page) -> str:
    return page.locator("#result .prose").inner_text()


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#outcome")).to_contain_text("Stopped.", timeout=MILLISECONDS)


def test_a_new_key_works_and_its_request_is_in_the_history(page: Page, live_url: str) -> None:
    page.goto("/keys")
    page.fill("#name", "browser test")
    page.get_by_role("button", name="Create the key").click()
    secret = page.locator("#secret").inner_text()

    asked = httpx2.post(
        f"{live_url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {secret}"},
        json={"messages": [{"role": "user", "content": "say red or blue"}]},
        timeout=60,
    )
    assert asked.json()["choices"][0]["message"]["content"] == "red or blue "

    page.goto("/history")
    row = page.locator(".request-row", has_text="browser test")
    expect(row).to_contain_text("POST /v1/chat/completions")
    expect(row).to_contain_text("3 tokens")
    row.get_by_role("link", name="say red or blue").click()
    expect(page.locator("main")).to_contain_text(asked.headers["x-request-id"])
    expect(page.locator(".timeline")).to_be_visible()
    shown = page.locator("pre.verbatim").text_content() or ""
    assert shown.strip() == "red or blue"

    page.goto("/keys")
    line = page.locator("tr", has_text="browser test")
    line.get_by_text("Revoke", exact=True).click()
    line.get_by_role("button", name="Revoke it for good").click()
    expect(page.locator("tr", has_text="browser test")).to_contain_text("revoked")
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx2.get(f"{live_url}/v1/models", headers=headers).status_code == 401


def test_the_status_draws_what_was_answered_and_keeps_itself_fresh(
    page: Page, live_url: str
) -> None:
    page.goto("/status")
    page.get_by_text("As a table").click()
    body = {"prompt": "say Hello", "max_tokens": 4}
    assert httpx2.post(f"{live_url}/generate", json=body, timeout=60).status_code == 200
    with page.expect_response(re.compile("/status/live$"), timeout=MILLISECONDS):
        pass
    expect(page.locator(".plot-bar").first).to_be_visible()
    expect(page.locator("#engine-card")).to_contain_text("ready")
    # What another server does not tell is no number.
    expect(page.locator("#engine-card")).not_to_contain_text("KV cache")
    expect(page.locator("#engine-card")).not_to_contain_text("unknown")
    expect(page.locator("#plot-table")).to_be_visible()
    expect(page.locator("#plot-table tbody td")).not_to_have_count(1)


def test_writing_grows_beside_the_text_and_can_be_opened_again(page: Page) -> None:
    order(page, "/write", LONG, "expand")
    wait_for_words(page, 2)
    page.wait_for_url(re.compile(r"/write/\w{26}$"))
    wait_for_words(page, 12)
    stop(page)
    expect(page.locator(".stream")).to_have_count(0)
    said = page.locator("#result .prose").inner_text()

    page.reload()
    assert page.locator("#result .prose").inner_text() == said
    assert page.locator("#text").input_value() == LONG
    assert page.locator("input[value=expand]").is_checked()
    raw = page.locator("#outcome pre[hidden]").text_content() or ""
    page.get_by_role("link", name="Use the result as input").click()
    expect(page.locator("#text")).to_have_value(raw.removeprefix("\n"))


def test_a_result_goes_on_after_the_tab_is_closed(page: Page) -> None:
    order(page, "/write", LONG, "expand")
    page.wait_for_url(re.compile(r"/write/\w{26}$"))
    wait_for_words(page, 2)
    place, before = page.url, said(page)
    other = page.context.new_page()
    page.close()
    other.goto(place)
    wait_for_words(other, len(before.split()) + 6)
    stop(other)  # so it was still being written
    assert said(other).startswith(before.rstrip())


def test_code_can_be_stopped_and_keeps_what_was_said(page: Page) -> None:
    order(page, "/code", "endless list of prime numbers", "script")
    wait_for_words(page, 4)
    stop(page)
    assert len(page.locator("#result .prose").inner_text().split()) >= 4


def test_a_mistake_is_shown_at_its_field_without_losing_the_text(
    context: BrowserContext,
) -> None:
    page = context.new_page()  # its console rightly tells of the refusal
    order(page, "/code", "say print(1)", "translate")
    problem = page.locator("#target-problem")
    expect(problem).to_have_text("Choose the language to rewrite in.")
    expect(page.locator("#text")).to_have_value("say print(1)")
    expect(page.locator("input[value=translate]")).to_be_checked()
    page.select_option("#target", "Rust")
    page.click("#order .primary")
    wait_for_words(page, 1)
    expect(problem).to_have_count(0)


def test_without_javascript_the_result_comes_by_reload(chromium: Browser, live_url: str) -> None:
    context = chromium.new_context(java_script_enabled=False, base_url=live_url, locale="zh-CN")
    page = context.new_page()
    page.goto("/write")
    page.fill("#text", "endless morning, everyone.")
    page.get_by_role("button", name="开始").click()
    expect(page.locator("#result .settled p").first).to_be_visible(timeout=MILLISECONDS)
    page.get_by_role("button", name="停止").click()
    expect(page.get_by_role("link", name="把结果作为输入")).to_be_visible(timeout=MILLISECONDS)
    context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_page_scrolls_sideways(chromium: Browser, live_url: str, language: str) -> None:
    for viewport in (PHONE, DESKTOP):
        context = chromium.new_context(viewport=viewport, base_url=live_url, locale=language)
        page = context.new_page()
        for path in PAGES:
            page.goto(path)
            assert not page.evaluate("document.scrollingElement.scrollWidth > innerWidth"), path
        context.close()
