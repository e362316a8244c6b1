"""The first frame comes before scripts, and whoever is quicker than these loses nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FilePayload, Page, Route, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, wait_for
from tests.browser.readiness import NOT_YET, wait_until_ready

pytestmark = pytest.mark.browser
MILLISECONDS = 60_000
LATE = re.compile(r"/static/(?!start\.).*\.js$")
NAMES = (
    """() => [...document.scripts].map(({ src }) => src.replace(/.*static.|\\.\\w+\\.js$/g, ""))"""
)
OF_THE_CHAT = ["start", "attach", "chat", "app", "install", "vendor/htmx", "streams"]
# A script that says its name, in place of the one that is asked for.
NAMED = "(globalThis.ran ??= []).push('{}');"
IN_ORDER = "() => globalThis.ran"
# How many scripts there are once the first frame after `load` is drawn.
FRAMES = """
addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  globalThis.beforeTheFrame = document.scripts.length;
})));
"""
# How far things have moved on the page since it was first drawn.
SHIFTS = """
globalThis.shifts = 0;
new PerformanceObserver((list) => {
  for (const { value } of list.getEntries()) shifts += value;
}).observe({ type: "layout-shift", buffered: true });
"""
NO_FRAMES = "globalThis.requestAnimationFrame = () => 0;"
HIDDEN = NO_FRAMES + "Object.defineProperty(document, 'hidden', { value: true });"
AT_THE_END = "() => scrollY + innerHeight > document.documentElement.scrollHeight - 48"


class Hasty:
    """A tab of somebody who does not wait, whose scripts come when they are `let` come."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._held: list[Route] = []
        self._free = False
        page.route(LATE, self._hold)

    def open(self, path: str) -> Page:
        self.page.goto(path)
        expect(self.page.locator(NOT_YET)).to_have_count(1)
        return self.page

    def let(self) -> None:
        self._free = True
        for route in self._held:
            route.continue_()
        wait_until_ready(self.page)

    def _hold(self, route: Route) -> None:
        if self._free:
            route.continue_()
        else:
            self._held.append(route)


@pytest.fixture
def page(chromium: Browser, live_url: str) -> Iterator[Page]:
    """Not the patient one: here nobody waits for scripts unasked."""
    context = Browser.new_context(
        chromium, viewport=DESKTOP, locale="en-GB", base_url=live_url, service_workers="block"
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def hasty(page: Page) -> Hasty:
    return Hasty(page)


def test_the_first_frame_comes_before_scripts_and_these_run_once(page: Page) -> None:
    page.add_init_script(FRAMES)
    page.goto("/")
    wait_until_ready(page)
    assert page.evaluate("beforeTheFrame") == 1
    assert page.evaluate(NAMES) == OF_THE_CHAT
    page.locator("#prompt").fill("say one two")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chat/*")
    expect(page.locator(".message-actions")).to_be_visible(timeout=MILLISECONDS)
    page.go_back()
    page.wait_for_url("**/")
    expect(page.locator(".welcome")).to_be_visible()
    page.go_forward()
    expect(page.locator(".message-actions")).to_be_visible()
    assert page.evaluate(NAMES) == OF_THE_CHAT


def test_scripts_run_in_their_order_however_late_one_is(page: Page) -> None:
    late: list[Route] = []

    def name(route: Route) -> None:
        if "attach" in route.request.url:
            late.append(route)
        else:
            route.fulfill(content_type="text/javascript", body=_named(route))

    page.route(LATE, name)
    page.goto("/")
    with page.expect_event("requestfinished", lambda request: "streams" in request.url):
        pass
    assert page.evaluate(IN_ORDER) is None
    late[0].fulfill(content_type="text/javascript", body=_named(late[0]))
    wait_until_ready(page)
    assert page.evaluate(IN_ORDER) == OF_THE_CHAT[1:]


def _named(route: Route) -> str:
    return NAMED.format(re.sub(r".*/static/|\.\w+\.js$", "", route.request.url))


@pytest.mark.parametrize("missing", ["attach", "chat", "app", "install", "htmx", "streams"])
def test_a_script_that_does_not_come_keeps_no_other_from_working(page: Page, missing: str) -> None:
    page.route(re.compile(rf"/{missing}\.\w+\.js$"), lambda route: route.abort())
    page.goto("/")
    wait_until_ready(page)
    page.locator("#prompt").fill("say one two")
    page.locator(".send").click()
    page.wait_for_url("**/chat/*")
    wait_for(page.locator(".message-actions"))  # without htmx nothing follows an answer
    expect(page.locator(".answer .prose")).to_have_text("one two")


@pytest.mark.parametrize("circumstance", [HIDDEN, NO_FRAMES], ids=["background", "covered"])
def test_scripts_also_begin_where_no_frame_is_drawn(page: Page, circumstance: str) -> None:
    page.add_init_script(circumstance)
    page.goto("/write")
    expect(page.locator("html")).to_have_attribute("data-ready", "")


def test_what_is_sent_before_scripts_goes_by_form(hasty: Hasty) -> None:
    page = hasty.open("/")
    page.locator("#prompt").fill("say Hello dear reader")
    page.locator(".send").click()
    page.wait_for_url("**/chat/*")
    expect(page.locator(".question .said")).to_have_text("say Hello dear reader")
    hasty.let()
    expect(page.locator(".message-actions")).to_be_visible(timeout=MILLISECONDS)
    expect(page.locator(".answer .prose")).to_have_text("Hello dear reader")
    expect(page.locator("#prompt")).to_have_value("")


def test_an_order_before_scripts_goes_by_form(hasty: Hasty) -> None:
    page = hasty.open("/write")
    page.locator("#text").fill("text It is old.")
    page.locator("#order .primary").click()
    page.wait_for_url(re.compile(r"/write/\w{26}$"))
    hasty.let()
    expect(page.locator("#outcome")).to_be_visible(timeout=MILLISECONDS)
    expect(page.locator("#text")).to_have_value("text It is old.")


def test_what_is_written_before_scripts_stays_and_is_a_draft(hasty: Hasty) -> None:
    page = hasty.open("/")
    page.evaluate("localStorage.setItem('draft /', 'an old thought')")
    page.locator("#prompt").click()
    page.keyboard.type("new words")
    page.keyboard.press("ArrowLeft")
    hasty.let()
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("!")
    expect(page.locator("#prompt")).to_have_value("new word!s")
    page.keyboard.press("Backspace")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("new words")


def test_the_way_back_is_open_before_scripts(page: Page) -> None:
    page.goto("/")
    wait_until_ready(page)
    page.locator("#prompt").fill("say one two")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chat/*")
    expect(page.locator(".message-actions")).to_be_visible(timeout=MILLISECONDS)
    hasty = Hasty(page)
    page.reload()
    page.evaluate("history.back()")
    page.wait_for_url(lambda url: "/chat/" not in url)
    expect(page.locator(".welcome")).to_be_visible()
    hasty.let()
    expect(page.locator(".message")).to_have_count(0)


def test_who_has_gone_to_another_field_stays_there(hasty: Hasty) -> None:
    page = hasty.open("/")
    page.locator("#search").click()
    page.keyboard.type("heron")
    hasty.let()
    expect(page.locator("#search")).to_be_focused()
    expect(page.locator("#search")).to_have_value("heron")


def test_a_file_chosen_before_scripts_is_attached(hasty: Hasty) -> None:
    page = hasty.open("/")
    note = FilePayload(name="note.txt", mimeType="text/plain", buffer=b"Hello")
    page.locator(".attach-files").set_input_files([note])
    hasty.let()
    expect(page.locator(".attachment")).to_contain_text("note.txt")


def test_a_part_selected_before_scripts_is_worked_on(hasty: Hasty) -> None:
    page = hasty.open("/write")
    page.locator("#text").fill("One. Two.")
    page.locator("#text").evaluate("area => { area.focus(); area.setSelectionRange(5, 9); }")
    hasty.let()
    expect(page.locator("#part-size")).to_contain_text("4 characters")


def test_a_long_chat_begins_at_its_end_and_leaves_in_peace_who_reads_above(hasty: Hasty) -> None:
    turns = [{"role": role, "content": "A line.\n\n" * 40} for role in ("user", "assistant")]
    made = hasty.page.request.post("/chats/import", multipart={"file": _file(turns)})
    page = hasty.open(made.url)
    assert page.evaluate(AT_THE_END)
    above = page.evaluate("scrollY") - 600
    page.mouse.move(700, 300)
    page.mouse.wheel(0, -600)
    page.wait_for_function("above => scrollY <= above", arg=above)
    hasty.let()
    assert page.evaluate("scrollY") == above


def test_a_fold_that_was_closed_is_closed_from_the_first_frame_on(hasty: Hasty) -> None:
    page = hasty.page
    page.request.post("/chat", form={"prompt": "say one two"})
    hasty.open("/")
    fold = page.locator("#chats details[data-fold]").first
    expect(fold).to_have_attribute("open", "")
    fold.evaluate("fold => localStorage.setItem(`fold ${fold.dataset.fold}`, 'closed')")
    hasty.open("/")
    expect(fold).not_to_have_attribute("open", "")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["wide", "narrow"])
def test_scripts_move_nothing(page: Page, live_url: str, viewport: ViewportSize) -> None:
    page.set_viewport_size(viewport)
    page.add_init_script(SHIFTS)
    program = "text Hello\n\n````python\nprint(1)\n````\n"
    asked = page.request.post("/generate", data={"prompt": program, "stream": False})
    turns = [{"role": role, "content": program} for role in ("user", "assistant")]
    chat = page.request.post("/chats/import", multipart={"file": _file(turns)}).url
    request = f"/history/{asked.headers['x-request-id']}"
    for place in ("/", chat, "/write", "/code", "/history", request, "/status", "/login"):
        hasty = Hasty(page)
        hasty.open(place)
        page.screenshot()  # so it was drawn
        hasty.let()
        page.screenshot()
        assert page.evaluate("shifts") == 0, place
        page.unroute_all()


def _file(turns: list[dict[str, str]]) -> FilePayload:
    said = json.dumps({"messages": turns}).encode()
    return FilePayload(name="a.json", mimeType="application/json", buffer=said)
