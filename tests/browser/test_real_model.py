"""One question to the packaged model through the page: every wire holds, whatever it says."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP
from tests.live import Appliance

pytestmark = pytest.mark.browser

MILLISECONDS = 60_000


def test_the_demo_model_answers_in_the_chat(chromium: Browser, live: Appliance) -> None:
    context = chromium.new_context(viewport=DESKTOP, locale="en-GB", base_url=live.url)
    page = context.new_page()
    page.goto("/")
    page.fill("#prompt", "Tell me about the sea.")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/chat/"))
    expect(page.locator(".answer .prose")).to_have_text(re.compile(r"\S"), timeout=MILLISECONDS)
    # It may go on for long or be over already: stopping from outside fits both.
    page.request.post(f"{page.url}/stop")
    expect(page.locator(".stream")).to_have_count(0, timeout=MILLISECONDS)
    context.close()
