"""How templates become pages: before anybody asks, and with their drawings within them."""

from __future__ import annotations

import re

import httpx2
import pytest
from jinja2 import Environment

from appliance.web import assets, rendering

pytestmark = pytest.mark.anyio

PAGES = (
    "/",
    "/chats",
    "/assistants",
    "/write",
    "/code",
    "/history",
    "/keys",
    "/status",
    "/nowhere",
)


async def test_no_visit_waits_for_a_template(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendering.environment.cache_clear()
    await rendering.put_together(pause=0)

    def compiled(_environment: Environment, _source: object, name: str, *_: object) -> None:
        raise AssertionError(f"{name} was not put together beforehand.")

    monkeypatch.setattr(Environment, "compile", compiled)
    for language in ("en", "zh-CN"):
        for page in PAGES:
            answer = await client.get(page, headers={"Accept-Language": language})
            assert answer.status_code == (404 if page == "/nowhere" else 200)


async def test_a_drawing_comes_with_the_page(client: httpx2.AsyncClient) -> None:
    html = (await client.get("/")).text
    assert "icons." not in html
    assert html.count('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"') > 10


def test_a_drawing_that_is_missing_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        rendering.icon("unicorn")


def test_every_drawing_is_found_by_its_name() -> None:
    names = re.findall(r'id="(.+?)"', (assets.TEMPLATES / "icons.svg").read_text())
    assert len(names) == len(set(names)) > 30
    for name in names:
        assert re.fullmatch(r'<svg class="icon"[^>]*>(<\w+ [^<>]*/>)+</svg>', rendering.icon(name))
