"""The chat all day long: keys, drafts, branches, a long conversation, many tabs at once."""

from __future__ import annotations

import json
import re

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, wait_for
from tests.browser.test_chat import MILLISECONDS, ask, scrolls_sideways
from tests.scripted_engine import ScriptedEngine

pytestmark = pytest.mark.browser

TABS = 10
AT_THE_END = "scrollY + innerHeight > document.documentElement.scrollHeight - 48"
# Of the four edges of an element: which of them are in sight.
EDGES_IN_SIGHT = """send => {
  const { left, top, width, height } = send.getBoundingClientRect();
  return [[0.5, 0.1], [0.5, 0.9], [0.1, 0.5], [0.9, 0.5]].map(([x, y]) =>
    send.contains(document.elementFromPoint(left + x * width, top + y * height)));
}"""
CODE = "\n".join(f"def function_{n}(value: int) -> int:\n    return value + {n}" for n in range(60))


def test_keys_drafts_and_branches(page: Page) -> None:
    ask(page, "say one two")
    another = page.get_by_role("button", name="Another answer")
    expect(another).to_be_visible(timeout=MILLISECONDS)

    page.keyboard.press("ArrowUp")
    edit = page.locator(".edit textarea")
    expect(edit).to_be_focused()
    expect(edit).to_have_value("say one two")
    edit.fill("say heron quay")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".answer .prose")).to_have_text("heron quay", timeout=MILLISECONDS)
    expect(page.locator(".branches")).to_contain_text("2/2")
    page.get_by_role("button", name="Version before").click()
    expect(page.locator(".answer .prose")).to_have_text("one two")

    page.fill("#prompt", "half a thought")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("half a thought")
    place = page.url
    page.keyboard.press("Control+Shift+O")
    page.wait_for_url("**/")
    expect(page.locator("#prompt")).to_have_value("")

    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("heron quay")
    expect(page.locator("#chats a")).to_have_count(1)
    expect(page.locator(f"#chats a[href$='{place[-26:]}']")).to_be_visible()
    page.keyboard.press("Shift+Escape")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#prompt")).to_have_value("?")
    page.locator("#search").blur()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_escape_stops_and_continue_goes_on(page: Page) -> None:
    ask(page, "endless story")
    expect(page.locator(".stream .prose")).to_have_text(
        re.compile(r"\w+ \w+"), timeout=MILLISECONDS
    )
    page.keyboard.press("Escape")
    expect(page.get_by_text("Stopped.", exact=True)).to_be_visible(timeout=MILLISECONDS)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Stopped.", exact=True)).to_be_hidden()


def test_ten_tabs_stream_at_once(context: BrowserContext, engine: ScriptedEngine) -> None:
    """More than a browser has connections for: all grow, all end, and other pages still open."""
    tabs = [context.new_page() for _ in range(TABS)]
    for tab in tabs:
        ask(tab, "wait for it")
    for tab in tabs:
        expect(tab.locator(".stream .prose")).to_have_text("wait", timeout=MILLISECONDS)
    other = context.new_page()
    other.goto("/status")
    expect(other.get_by_role("heading", level=1)).to_be_visible(timeout=MILLISECONDS)
    engine.release.set()
    for tab in tabs:
        expect(tab.locator(".message-actions")).to_be_visible(timeout=MILLISECONDS)
        expect(tab.locator(".answer .prose")).to_have_text("wait")


def test_a_conversation_of_300_messages_stays_smooth(page: Page, live_url: str) -> None:
    turns = [
        {"role": ("user", "assistant")[n % 2], "content": f"Turn {n}\n\n```python\n{CODE}\n```"}
        for n in range(300)
    ]
    file = ("long.json", json.dumps({"messages": turns}).encode())
    made = httpx2.post(f"{live_url}/chats/import", files={"file": file}, timeout=60)
    page.goto(made.headers["location"])
    expect(page.locator(".message")).to_have_count(40)
    page.wait_for_function(AT_THE_END, timeout=MILLISECONDS)
    for _ in range(7):
        # Counted first: what is scrolled for may be there at once.
        count = page.locator(".message").count()
        page.evaluate("document.querySelector('.earlier')?.scrollIntoView()")
        page.wait_for_function(
            "count => document.querySelectorAll('.message').length > count"
            " || !document.querySelector('.earlier')",
            arg=count,
            timeout=MILLISECONDS,
        )
    expect(page.locator(".message")).to_have_count(300)
    # The layout of everything, forced anew by a change of width, as when a phone is turned.
    milliseconds = page.evaluate(
        """() => {
            const start = performance.now();
            for (const width of ["70%", "100%"]) {
                document.getElementById("messages").style.width = width;
                document.body.getBoundingClientRect();
            }
            return (performance.now() - start) / 2;
        }"""
    )
    assert milliseconds < 500
    page.fill("#prompt", "say hello")
    page.keyboard.press("Enter")
    expect(page.locator(".answer .prose").last).to_have_text("hello", timeout=MILLISECONDS)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_script_everything_is_a_form(
    chromium: Browser, live_url: str, language: str
) -> None:
    zh = language == "zh"
    context = chromium.new_context(
        viewport=PHONE if zh else DESKTOP,
        locale=language,
        base_url=live_url,
        java_script_enabled=False,
    )
    page = context.new_page()
    page.goto("/?temporary=true" if zh else "/")
    page.locator(".settings summary").click()
    page.locator("#system_prompt").fill("Be brief.")
    page.locator("#temperature").fill("0.5")
    page.locator(".settings summary").click()
    page.locator("#prompt").fill("say one two")
    page.locator(".send").click()
    page.wait_for_url(re.compile("/chat/"))
    wait_for(page.locator(".message-actions"))
    page.locator(".edit summary").click()
    page.locator(".edit textarea").fill("say three")
    page.locator(".edit form button").click()
    wait_for(page.locator(".message-actions"))
    expect(page.locator(".answer .prose")).to_have_text("three")
    page.get_by_role("button", name="上一个版本" if zh else "Version before").click()
    expect(page.locator(".answer .prose")).to_have_text("one two")
    page.locator(".settings summary").click()
    expect(page.locator("#temperature")).to_have_value("0.5")
    context.close()


def test_a_phone_shows_every_panel_without_sideways_scroll(page: Page) -> None:
    page.set_viewport_size(PHONE)
    ask(page, "say one two")
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=MILLISECONDS)
    for panel in page.locator(".chat-tools .popover > summary").all():
        panel.click()
        assert not scrolls_sideways(page)
        box = page.locator(".popover[open] .popover-body").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        seen = page.locator(".send").evaluate(EDGES_IN_SIGHT)
        assert all(seen) or not any(seen), "half of the button peeks out beside the panel"
        page.keyboard.press("Escape")
