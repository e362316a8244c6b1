"""The writing assistant and the code helper as a person meets them, on exact answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PHONE, wait_for
from tests.live import appliance, free_port
from tests.scripted_engine import KEY, ScriptedEngine

pytestmark = pytest.mark.browser

MILLISECONDS = 60_000
# The scripted engine says what follows `text `; so polishing takes that word away, and no more.
LETTER = "Dear Ada,\n\ntext 😀 It is old.\n\nYours, Bob"
RESULT = re.compile(r"/(write|code)/\w{26}$")
CODE = "import sys\n\ndef f(x):\n    return x\n"


def select(page: Page, part: str) -> None:
    """Selects `part` in the editor as a mouse would."""
    page.locator("#text").evaluate(
        """(area, part) => { const at = area.value.indexOf(part); area.focus();
           area.setSelectionRange(at, at + part.length); }""",
        part,
    )
    expect(page.locator("#part-clear")).to_be_visible()


def sideways(page: Page) -> bool:
    return bool(page.evaluate("document.scrollingElement.scrollWidth > innerWidth"))


def test_a_selected_part_is_changed_and_the_rest_stays(page: Page) -> None:
    page.goto("/write")
    page.fill("#text", LETTER)
    select(page, "text 😀 It is old.")
    expect(page.locator("#part-size")).to_contain_text("17 characters")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(RESULT)
    change = page.locator("#difference input[name=change]")
    expect(change).to_have_count(1, timeout=MILLISECONDS)
    expect(page.locator("#difference .around").first).to_contain_text("Dear Ada,")

    change.focus()
    page.keyboard.press("Space")
    expect(change).not_to_be_checked()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(change).to_be_checked()
    assert not sideways(page)
    page.get_by_role("button", name="Accept what is ticked").click()
    page.wait_for_url(re.compile("/write/drafts/"))
    expect(page.locator("#text")).to_have_value(LETTER.replace("text ", ""))
    expect(page.locator("#drafts [aria-current]")).to_contain_text("Dear Ada,")

    page.locator(".versions a").last.click()
    expect(page.locator("#text")).to_have_value(LETTER)
    page.get_by_role("button", name="Restore").click()
    expect(page.locator(".versions li")).to_have_count(3)
    expect(page.locator("#text")).to_have_value(LETTER)


def test_escape_stops_what_is_being_written(page: Page) -> None:
    page.goto("/write")
    page.fill("#text", "endless words")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result .prose")).to_contain_text("3", timeout=MILLISECONDS)
    page.keyboard.press("Escape")
    expect(page.locator("#outcome")).to_contain_text("Stopped.", timeout=MILLISECONDS)
    expect(page.locator("#difference")).to_have_count(0)


def test_a_program_shows_its_changes_its_fault_and_is_a_file(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto("/code")
    broken = CODE.replace("return x", "return (x")
    # What is asked for is fenced by the page, so the answer's own fence has to be longer.
    page.fill("#text", f"text Found it.\n````python\n{broken}````\n")
    page.check("input[value=refactor]", force=True)
    page.click("#order .primary")
    expect(page.locator("#outcome")).to_contain_text("Syntax error in line 4", timeout=MILLISECONDS)
    expect(page.locator(".fault-line.wrong")).to_contain_text("return (x")
    expect(page.locator("#difference .hunk").first).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="program.py").click()
    assert saved.value.path().read_text("utf-8") == broken
    assert not sideways(page)


def test_a_cut_answer_is_tried_again_by_keyboard(page: Page, engine: ScriptedEngine) -> None:
    page.goto("/write")
    page.fill("#text", LETTER.replace("text", "falter"))
    select(page, "falter 😀 It is old.")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(RESULT)
    again = page.locator("#outcome").get_by_role("button", name="Try again")
    expect(again).to_be_visible(timeout=MILLISECONDS)
    said = page.get_by_role("alert").filter(visible=True)
    expect(said).to_have_count(1)
    expect(said).not_to_contain_text("Try again")
    failed = page.url
    engine.release.set()
    again.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != failed)
    expect(page.locator("#result")).to_be_focused()
    expect(page.locator("#difference .change")).to_have_count(1, timeout=MILLISECONDS)
    expect(page.locator("#difference .around").first).to_contain_text("Dear Ada,")
    expect(page.locator("#announce")).to_have_text("The answer is complete.")


def test_what_is_lost_with_a_killed_appliance_is_asked_again(
    chromium: Browser, engine: ScriptedEngine, tmp_path: Path
) -> None:
    remote = ("--engine", "remote", "--engine-url", engine.url, "--engine-key", KEY)
    port = free_port()
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    with appliance(tmp_path, *remote, port=port) as running:
        running.wait_ready()
        page.goto(f"{running.url}/write")
        page.fill("#text", LETTER.replace("text", "wait"))
        select(page, "wait 😀 It is old.")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#result .prose")).to_contain_text("wait", timeout=MILLISECONDS)
        running.process.kill()
    engine.release.set()
    with appliance(tmp_path, *remote, port=port) as running:
        running.wait_ready()
        expect(page.locator("#outcome [role=alert]")).to_contain_text("no longer kept here")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#difference .change").first).to_be_visible(timeout=MILLISECONDS)
        expect(page.locator("#difference .around").first).to_contain_text("Dear Ada,")
        context.close()


def test_without_javascript_a_cut_answer_is_tried_again(
    chromium: Browser, live_url: str, engine: ScriptedEngine
) -> None:
    context = chromium.new_context(
        viewport=PHONE, java_script_enabled=False, base_url=live_url, locale="zh-CN"
    )
    page = context.new_page()
    page.goto("/code")
    page.fill("#text", "falter It adds.")
    page.check("input[value=explain]", force=True)
    page.get_by_role("button", name="开始").click()
    again = page.locator("#outcome").get_by_role("button", name="重试")
    wait_for(again)
    assert not sideways(page)
    engine.release.set()
    again.click()
    wait_for(page.locator("#outcome .prose"))
    expect(page.locator("#outcome .prose")).to_have_text("It adds.")
    expect(again).to_have_count(0)
    context.close()


def test_without_javascript_the_same_by_forms(chromium: Browser, live_url: str) -> None:
    context = chromium.new_context(
        viewport=PHONE, java_script_enabled=False, base_url=live_url, locale="zh-CN"
    )
    page = context.new_page()
    page.goto("/write")
    page.fill("#text", LETTER)
    page.get_by_text("只处理其中一部分").click()
    page.fill("#passage", "Not in the letter")
    page.get_by_role("button", name="开始").click()
    expect(page.locator("#passage-problem")).to_contain_text("文中没有这一段")
    page.fill("#passage", "text 😀 It is old.")
    page.get_by_role("button", name="开始").click()
    change = page.locator("#difference .change")
    wait_for(change)
    expect(change).to_have_count(1)
    change.click()
    page.get_by_role("button", name="采用勾选的修改").click()
    page.wait_for_url(re.compile("/write/drafts/"))
    expect(page.locator("#text")).to_have_value(LETTER)
    assert not sideways(page)
    context.close()
