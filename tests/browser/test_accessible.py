"""No page and no state of one breaks a rule of WCAG 2.2 AA, as far as axe-core can tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from appliance.domain import Phrase
from appliance.lan.authority import Authority
from tests.access.house import House
from tests.browser.axe import Audit
from tests.browser.conftest import DESKTOP
from tests.browser.test_assistants import ANSWER
from tests.browser.test_chat import MILLISECONDS, ask
from tests.scripted_engine import ScriptedEngine, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
CHINESE = (
    *("/", "/chats", "/assistants", "/assistants/new?like=service", "/assistants/tutor/talk"),
    *("/write", "/code", "/keys", "/connect", "/status", "/login", "/trust", "/no/such/page"),
)
RESULT = re.compile(r"/(write|code)/\w{26}$")


@pytest.fixture
def audit(context: BrowserContext) -> Iterator[Audit]:
    yield from audited(context)


def audited(context: BrowserContext) -> Iterator[Audit]:
    made = Audit(context.new_page())
    yield made
    assert not made.faults, "\n\n".join(dict.fromkeys(made.faults))
    assert made.states


@pytest.fixture
def chinese(chromium: Browser, live_url: str) -> Iterator[Audit]:
    context = chromium.new_context(viewport=DESKTOP, locale="zh-CN", base_url=live_url)
    yield from audited(context)
    context.close()


def test_the_chat(audit: Audit, engine: ScriptedEngine) -> None:
    page = audit.page
    page.goto("/")
    audit.look("new chat")
    page.evaluate("document.getElementById('help').showModal()")
    audit.look("help sheet")
    page.goto("/?temporary=true")
    page.locator(".settings summary").click()
    audit.look("settings open")
    ask(page, ANSWER)
    expect(page.locator(".message-actions")).to_be_visible(timeout=MILLISECONDS)
    page.locator(".edit summary").click()
    audit.look("answer, editing")
    page.locator("#prompt").fill("wait for it")
    page.keyboard.press("Enter")
    expect(page.locator(".stream .prose")).to_have_text("wait", timeout=MILLISECONDS)
    audit.look("answer being written")
    engine.release.set()
    page.goto("/chats?q=nothing+of+the+kind")
    audit.look("no chat found")


def test_the_workbench_and_the_assistants(audit: Audit) -> None:
    page = audit.page
    for place, text in (("/write", "text It are old."), ("/code", "text x = 1"), ("/write", "die")):
        page.goto(place)
        audit.look(place)
        page.locator("#text").fill(text)
        page.locator("#order .primary").click()
        page.wait_for_url(RESULT)
        expect(page.locator("#outcome")).to_be_visible(timeout=MILLISECONDS)
        audit.look(f"{place} with what became of {text}")
    for place in ("/assistants", "/assistants/new?like=service", "/assistants/service/talk"):
        page.goto(place)
        audit.look(place)
    page.get_by_label("Your message").fill("Do you sell bicycles?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Not in the list of answers")).to_be_visible()
    audit.look("talk with an answer")
    page.goto("/assistants/service/share")
    audit.look("/assistants/service/share")


def test_the_history(audit: Audit) -> None:
    page = audit.page
    for _ in range(2):
        asked = page.request.post("/generate", data={"prompt": "text Hello there", "stream": False})
        assert asked.ok
    request_id = asked.headers["x-request-id"]
    for place in ("/history", f"/history/{request_id}", "/history/charts", "/history/mine"):
        page.goto(place)
        audit.look(place)
    page.goto("/history")
    for panel in page.locator(".history-tools .popover > summary, .filters summary").all():
        panel.click()
        audit.look(f"history, {panel.inner_text()} open")
    page.goto(f"/history/{request_id}")
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url("**/compare/**")
    expect(page.get_by_text("Both answers are the same")).to_be_visible(timeout=MILLISECONDS)
    audit.look("compare")
    page.goto("/history?model=none+of+these")
    audit.look("history without a row")


def test_keys_status_and_doors(audit: Audit) -> None:
    page = audit.page
    page.goto("/keys")
    page.locator(".key-more summary").click()
    audit.look("keys, form open")
    page.fill("#name", "axe")
    page.get_by_role("button", name="Create the key").click()
    expect(page.locator("#secret")).to_be_visible()
    audit.look("keys, new secret")
    page.goto("/keys/of?name=axe")
    audit.look("one key")
    for place in ("/status", "/connect", "/login", "/join", "/trust", "/no/such/page"):
        page.goto(place)
        audit.look(place)


def test_the_chinese_pages(chinese: Audit) -> None:
    page = chinese.page
    assert page.request.post("/generate", data={"prompt": "text 你好"}).ok
    for place in (*CHINESE, "/history", "/history/charts", "/history/mine"):
        page.goto(place)
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
        chinese.glance(place)
    page.goto("/?temporary=true")
    ask(page, ANSWER)
    expect(page.locator(".message-actions")).to_be_visible(timeout=MILLISECONDS)
    chinese.glance("answer")


def test_without_a_model_and_with_an_authority(audit: Audit, tmp_path: Path) -> None:
    Authority(tmp_path / "tls").renew(["192.168.1.20"], datetime.now(UTC))
    house = House(tmp_path, https=True)
    page = audit.page
    with serving(house.app) as url:
        page.goto(url + "/trust")
        expect(page.locator("#fingerprint")).to_be_visible()
        page.locator("#firefox > summary").click()
        audit.look("/trust, with an authority")
        for phase in ("starting", "unloaded", "failed"):
            house.engine.board.publish(phase=phase, facts=None, reason=Phrase("No such file."))
            for place in ("/", "/status"):
                page.goto(url + place)
                audit.look(f"{place}, {phase}")
    house.close()
