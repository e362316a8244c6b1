"""Installed pages: a notice while the appliance is away, and the page again once it is back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.axe import Audit

pytestmark = pytest.mark.browser
MILLISECONDS = 60_000
KEPT = """async () => {
    const names = await caches.keys();
    const found = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
    return found.flat().map((request) => new URL(request.url).pathname);
}"""


def test_the_notice_comes_and_goes_and_no_page_is_kept(context: BrowserContext) -> None:
    page = context.new_page()  # its console rightly tells of the missing network
    page.goto("/history")
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("() => navigator.serviceWorker.controller", timeout=MILLISECONDS)
    page.goto("/write")
    context.set_offline(True)
    page.goto("/status")
    notice = page.get_by_role("heading", name="The appliance cannot be reached")
    expect(notice).to_be_visible()
    expect(page.get_by_role("link", name="重试")).to_have_css("display", "inline-flex")
    audit = Audit(page)
    audit.look("offline")
    assert audit.faults == []
    kept = page.evaluate(KEPT)
    assert "/offline" in kept
    assert [path for path in kept if not path.startswith(("/offline", "/static/"))] == []
    context.set_offline(False)
    expect(page.get_by_role("heading", name="Status")).to_be_visible(timeout=MILLISECONDS)


def test_the_worker_costs_no_page_a_second_request(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/write")
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("() => navigator.serviceWorker.controller", timeout=MILLISECONDS)
    before = answered(page, "/code")
    for _ in range(3):
        page.goto("/code")
        expect(page.get_by_role("heading", name="Code helper")).to_be_visible()
    way = page.evaluate("performance.getEntriesByType('navigation')[0].workerFinalSourceType")
    assert way in ("network", None)  # None: a Chromium that does not tell
    page.goto("/no/such/page")  # what is no success is shown all the same
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible()
    assert answered(page, "/code") == before + 3


def answered(page: Page, route: str) -> int:
    """How often the appliance has answered at `route`."""
    line = (
        rf'http_server_request_duration_seconds_count\{{[^}}]*http_route="{route}"[^}}]*\}} (\d+)'
    )
    return sum(int(count) for count in re.findall(line, page.request.get("/metrics").text()))
