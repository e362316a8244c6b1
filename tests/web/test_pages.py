"""What holds for every page: language, theme, errors, login, headers, size, templates."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jinja2 import meta

from appliance.web import assets, chat_list, chat_views, frame, rendering
from appliance.web.banner import BannerView
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]


async def test_every_page_comes_with_strict_headers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("led_by", "policy"),
    [
        ("cross-site", "same-origin"),
        ("same-site", "same-origin"),
        (None, "same-origin"),
        ("none", None),
        ("same-origin", None),
    ],
)
async def test_a_page_is_cut_off_from_whoever_may_have_opened_it(
    client: httpx2.AsyncClient, led_by: str | None, policy: str | None
) -> None:
    answer = await client.get("/status", headers={"sec-fetch-site": led_by} if led_by else {})
    assert answer.headers.get("cross-origin-opener-policy") == policy


async def test_no_page_needs_what_the_policy_forbids(client: httpx2.AsyncClient) -> None:
    html = (await client.get("/")).text
    assert "<style" not in html
    assert " style=" not in html
    assert not re.search(r"\son\w+=", html)
    # All other scripts come after the first frame.
    scripts = re.findall(r'<script src="(.*?)"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert scripts == [(assets.asset_url("start.js"), "")]
    assert html.count("<script") == 1
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', html):
        assert address.startswith(("/", "#"))


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_form_of_another_site_is_refused(
    site: Site, client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post("/chat", data={"prompt": "x"}, headers=headers)
    assert answer.status_code == 403
    assert site.gateway.asked == []
    assert (await client.post("/theme", data={"theme": "dark"}, headers=headers)).status_code == 403


async def test_a_form_of_this_site_is_taken(client: httpx2.AsyncClient) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}
    assert (await client.post("/chat", data={"prompt": "x"}, headers=headers)).status_code == 303


RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "reads": {"scopes": ["history"]},
    "admin": {"is_admin": True},
    "talks": {"assistants": ["tutor"]},
}
LED = re.compile(r'<a [^>]*href="(/[^"#?]*)')


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
async def test_what_the_menu_and_a_refusal_lead_to_is_open(
    site: Site, rules: dict[str, Any]
) -> None:
    _, secret = await site.keys.create("anna", **rules)
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as browser:
        texts = [(await browser.get(path)).text for path in ("/connect", "/write", "/assistants")]
        led = set(LED.findall("".join(texts))) - {"/login"}
        for path in sorted(led):
            assert (await browser.get(path)).status_code == 200, path
        pages = {"/", "/write", "/history", "/keys", "/connect", "/assistants"}
        opened = {path for path in pages if (await browser.get(path)).status_code == 200}
        assert opened <= led


async def test_the_theme_is_known_to_the_server(client: httpx2.AsyncClient) -> None:
    assert 'data-theme="auto"' in (await client.get("/")).text
    answer = await client.post("/theme", data={"theme": "dark"})
    assert answer.status_code == 303
    assert 'data-theme="dark"' in (await client.get("/")).text
    assert (await client.post("/theme", data={"theme": "<b>"})).status_code == 400


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://127.0.0.1/chat/1?x=2", "/chat/1?x=2"),
        ("https://evil.example/path", "/path"),
        ("https://evil.example//other.example", "/other.example"),
        ("", "/"),
    ],
)
async def test_after_a_choice_one_is_back_on_this_site(
    client: httpx2.AsyncClient, referer: str, back: str
) -> None:
    answer = await client.post("/language", data={"language": "zh"}, headers={"Referer": referer})
    assert answer.headers["location"] == back


async def test_the_language_follows_choice_then_browser(client: httpx2.AsyncClient) -> None:
    chinese = {"Accept-Language": "fr, zh-CN;q=0.8, en;q=0.5"}
    page = await client.get("/", headers=chinese)
    assert "有什么可以帮您" in page.text
    assert '<html lang="zh-Hans"' in page.text
    await client.post("/language", data={"language": "en"})
    assert "What can I do for you?" in (await client.get("/", headers=chinese)).text


@pytest.mark.parametrize("wish", ["", "*", "de", "zh;q=oops", "zh;q=0", ";;;,,,", "q=1;zh"])
async def test_odd_wishes_get_english(client: httpx2.AsyncClient, wish: str) -> None:
    assert '<html lang="en"' in (await client.get("/", headers={"Accept-Language": wish})).text


async def test_who_is_not_known_is_sent_to_the_login_page(tmp_path: Path) -> None:
    site = Site(tmp_path, require_key=True)
    transport = httpx2.ASGITransport(app=site.app, client=("127.0.0.1", 50000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/chat/abc")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/chat/abc"
        answer = await client.post("/chat", data={"prompt": "x"}, headers={"HX-Request": "true"})
        assert answer.status_code == 204
        assert answer.headers["HX-Redirect"] == "/login?next=/"
    await site.close()


async def test_an_error_is_a_page_or_a_notice(client: httpx2.AsyncClient) -> None:
    whole = await client.get("/chat/nothing")
    assert whole.status_code == 404
    assert "<html" in whole.text
    assert "does not exist" in whole.text
    part = await client.get("/chat/nothing", headers={"HX-Request": "true"})
    assert part.status_code == 404
    assert "<html" not in part.text
    assert part.headers["HX-Retarget"] == "#notices"
    assert "Back to the chat" in whole.text
    assert "Try again" not in whole.text  # it would be the same


async def test_the_first_paint_is_light(client: httpx2.AsyncClient) -> None:
    html = await client.get("/")
    total = len(html.content)
    urls = set(re.findall(r'/static/[^"#\s]+', html.text))  # those of `data-scripts` too
    assert assets.asset_url("vendor/htmx.js") in urls
    for url in urls:
        answer = await client.get(url, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, url
        assert "immutable" in answer.headers["cache-control"]
        total += int(answer.headers["content-length"])
    # Over the wire: files compressed, as browsers ask for them; the page itself is not.
    assert 30_000 < total < 80_000


@pytest.mark.parametrize(
    "path", sorted(assets.TEMPLATES.glob("*.html")), ids=lambda path: path.name
)
def test_what_a_stream_feeds_does_not_ask_by_itself(path: Path) -> None:
    """htmx takes up what asks before its extension for streams is there, and nothing twice."""
    for tag in re.findall(r"<\w[^<>]*\ssse-[^<>]*>", path.read_text(encoding="utf-8")):
        assert not re.search(r"\shx-(get|post|trigger|ext)\b", tag)


async def test_static_files_are_a_closed_list(client: httpx2.AsyncClient) -> None:
    for path in ("/static/../pyproject.toml", "/static/app.css", "/static/app.0000000000.css"):
        assert (await client.get(path)).status_code == 404


async def test_static_files_come_compressed(client: httpx2.AsyncClient) -> None:
    url = assets.asset_url("app.css")
    small = await client.get(url, headers={"Accept-Encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    plain = await client.get(url, headers={"Accept-Encoding": "identity"})
    assert small.content == plain.content
    sheets = {path.read_bytes() for path in assets.STATIC.glob("*.css")}
    assert len(sheets) > 5
    assert all(sheet in plain.content for sheet in sheets)


@pytest.mark.parametrize(
    ("template", "view"),
    [
        ("chat.html", chat_views.ChatView),
        ("chats.html", chat_list.ChatsView),
        ("message.html", chat_views.MessageView),
        ("error.html", frame.ErrorView),
        ("banner.html", BannerView),
    ],
)
def test_a_template_uses_exactly_its_view(template: str, view: type) -> None:
    environment = rendering.environment("en")
    assert environment.loader is not None
    used: set[str] = set()
    parts = [template]
    for part in parts:
        parsed = environment.parse(environment.loader.get_source(environment, part)[0])
        used |= meta.find_undeclared_variables(parsed)
        parts += [
            name for name in meta.find_referenced_templates(parsed) if name and name != "base.html"
        ]
    # What a loop, a `with`, a `set` or an import around a part gives to it.
    loop = {"files", "feedback"}
    if template == "chat.html":
        loop |= {"bubble", "back", "announce", "naming"}
    given = {field.name for field in fields(view)}
    assert used - {"frame", "ui", "self", "_", "gettext", "ngettext"} - loop == given


async def test_the_banner_follows_the_engine_until_it_is_ready(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.engine.board.publish(phase="loading", stage="download", done=30, total=100)
    page = (await client.get("/")).text
    assert "Downloading the model · 30 %" in page
    assert 'sse-connect="/engine/banner/stream"' in page
    site.engine.board.publish(phase="ready")
    stream = (await client.get("/engine/banner/stream")).text
    assert stream.endswith("event: settled\ndata: \n\n")
    assert stream.count("The model is ready.") == 1  # said, and nothing before it
    assert 'role="status"' not in stream
    assert 'sse-connect="/engine' not in (await client.get("/")).text


async def test_a_failed_engine_can_be_started_again_by_an_admin_only(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.engine.board.publish(phase="failed")
    assert "Try again" in (await client.get("/")).text
    _, secret = await site.keys.create("anna")
    anna = {"x-api-key": secret}
    theirs = (await client.get("/", headers=anna)).text
    assert "/engine/restart" not in theirs
    assert "Ask the owner of this appliance to start it again." in theirs
    assert (await client.post("/engine/restart", headers=anna)).status_code == 403
    assert (await client.post("/engine/restart")).status_code == 303
    assert site.engine.restarts_asked == 1
