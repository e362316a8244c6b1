"""Assistants in a real browser: what a model writes, and a frame on somebody else's site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.scripted_engine import serving

pytestmark = pytest.mark.browser
ANSWER = """text The root of \\(x^2\\) costs $5 to $10.

| a | b |
|---|---|
| [link](https://site.example) | ![cat](https://tracker.example/cat.png) |

```python
print("hello")
```
"""


@contextmanager
def site_with(lines: list[str]) -> Iterator[str]:
    """Somebody's site, whose only page holds `lines` as they are when it is asked for."""

    async def page(request: Request) -> Response:
        body = "<!doctype html><html lang=en><title>Shop</title>"
        icon = '<link rel="icon" href="data:,"><h1>Shop</h1>'
        return HTMLResponse(body + icon + "".join(lines))

    with serving(Starlette(routes=[Route("/", page)])) as url:
        yield url


def test_what_a_model_writes_is_shown_and_nothing_is_loaded_from_elsewhere(
    page: Page, live_url: str, tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/assistants/tutor/talk")
    page.get_by_label("Your message").fill(ANSWER)
    page.get_by_role("button", name="Send").click()
    answer = page.locator("article.answer").last
    expect(answer.locator("math msup")).to_be_visible()
    expect(answer).to_contain_text("costs $5 to $10.")
    expect(answer.get_by_role("link", name="cat")).to_have_attribute("target", "_blank")
    with page.expect_download() as saved:
        answer.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == "code.py"
    saved.value.save_as(tmp_path / "code.py")
    assert (tmp_path / "code.py").read_text() == 'print("hello")\n'
    expect(page.get_by_role("button", name="Give me a hint")).to_be_visible()
    assert [url for url in asked if not url.startswith((live_url, "blob:"))] == []


def test_a_site_shows_the_service_in_a_frame_if_it_may(page: Page, live_url: str) -> None:
    line: list[str] = []
    with site_with(line) as shop, site_with(line) as stranger:
        page.goto("/assistants/new?like=service")
        page.get_by_label("Sites that may show it").fill(shop)
        page.get_by_role("button", name="Save").click()
        page.get_by_role("link", name="Share").click()
        page.get_by_label("Name").fill("shop window")
        page.get_by_role("button", name="Make a line for a site").click()
        line.append(page.locator("#line").inner_text())
        page.goto(shop)
        page.get_by_role("button", name="Customer service (copy)").click()
        frame = page.frame_locator("iframe")
        frame.get_by_label("Your message").fill("Do you sell bicycles?")
        frame.get_by_role("button", name="Send").click()
        expect(frame.get_by_text("Not in the list of answers")).to_be_visible()
        assert page.evaluate("document.querySelector('iframe').contentDocument") is None
        refused = page.context.new_page()
        with refused.expect_event("console", lambda said: "frame-ancestors" in said.text):
            refused.goto(stranger)
            refused.get_by_role("button", name="Customer service (copy)").click()
