"""The status page: engine, plan, plots, losses, reach."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from appliance.domain import Phrase
from appliance.engine.status import Incident
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.test_history import EVIL, record
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio


async def test_a_ready_engine_is_described(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/status")).text
    for shown in ("ready", "Script-1B", "fp32", "script 1", "4,096 tokens", "8,192 tokens",
                  "4 answers", "Script-1B is what you asked for.", "127.0.0.1:8000",
                  "without a key, as the owner", "--lan"):  # fmt: skip
        assert shown in page


async def test_loading_shows_how_far_it_is(site: Site, client: httpx2.AsyncClient) -> None:
    site.engine.board.publish(phase="loading", stage="download", done=30, total=120)
    page = (await client.get("/status")).text
    assert "Downloading the model · 25 %" in page
    assert 'hx-trigger="every 2s"' in page


async def test_a_download_shows_its_speed_and_the_time_left(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.engine.board.publish(
        phase="loading", stage="download", done=4, total=16, speed=11_500_000, seconds_left=95
    )
    page = (await client.get("/status")).text
    assert "Downloading the model · 25 % · 11.5 MB/s · 1 min 35 s left" in page


async def test_a_failed_engine_says_why_and_can_be_restarted(
    site: Site, client: httpx2.AsyncClient
) -> None:
    reason = Phrase("The engine could not be started: %(error)s", {"error": EVIL})
    site.engine.board.publish(phase="failed", reason=reason)
    page = (await client.get("/status")).text
    assert "The engine could not be started: &lt;script&gt;" in page
    assert "<script>alert" not in page
    assert 'action="/engine/restart"' in page
    assert (await client.post("/engine/restart")).status_code == 303
    assert site.engine.restarts_asked == 1


async def test_falling_back_to_a_smaller_model_is_said(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.engine.board.publish(notice=Phrase("The hub was not reached, so the demo model answers."))
    assert "The hub was not reached" in (await client.get("/status")).text


async def test_an_hour_of_answers_is_drawn_and_tabled(
    site: Site, client: httpx2.AsyncClient
) -> None:
    for _ in range(3):
        record(site)
    page = (await client.get("/status")).text
    assert page.count('<rect class="plot-bar"') == 2
    assert page.count('<path class="plot-dots') == 2
    assert "3 in the last hour, at most 3 in one minute." in page
    assert "183 tokens in the last hour." in page
    for title in re.findall(r'aria-labelledby="(plot-\w+)-title plot-\w+-summary"', page):
        assert f'<desc id="{title}-summary">' in page
    assert "<td>3</td><td>183</td><td>3.4 s</td><td>3.4 s</td>" in page


async def test_an_idle_hour_is_said_in_words(client: httpx2.AsyncClient) -> None:
    assert "Nothing was asked in the last hour." in (await client.get("/status")).text


async def test_a_refresh_brings_only_parts_that_find_their_place(
    client: httpx2.AsyncClient,
) -> None:
    page = (await client.get("/status")).text
    parts = (await client.get("/status/live", headers={"HX-Request": "true"})).text
    assert "hx-swap-oob" not in page
    assert "<html" not in parts
    places = re.findall(r'id="([\w-]+)"[^>]*hx-swap-oob="true"', parts)
    assert places == [
        "losses",
        "engine-card",
        "figures-card",
        "plots",
        "plot-table",
        "orders",
        "poll",
    ]
    for place in places:
        assert f'id="{place}"' in page


async def test_a_refresh_leaves_no_row(site: Site, client: httpx2.AsyncClient) -> None:
    await client.get("/status")
    for _ in range(3):
        assert (await client.get("/status/live")).status_code == 200
    await site.writer.drained()
    page = await site.parts.queries.requests(owner=None, before=None, limit=50)
    assert [row.path for row in page.rows] == ["/status"]


async def test_the_model_is_unloaded_and_loaded_by_plain_forms(
    site: Site, client: httpx2.AsyncClient
) -> None:
    assert 'action="/engine/unload"' in (await client.get("/status")).text
    answer = await client.post("/engine/unload")
    assert (answer.status_code, answer.headers["location"]) == (303, "/status")
    page = (await client.get("/status")).text
    assert "Unloaded by hand; its memory is free for other programs." in page
    assert 'action="/engine/load"' in page
    assert 'action="/engine/unload"' not in page
    chat = (await client.get("/")).text
    assert "The model is unloaded" in chat
    assert 'action="/engine/load"' in chat
    assert (await client.post("/engine/load")).status_code == 303
    assert site.engine.orders == ["unload", "load"]


async def test_only_admins_unload(site: Site) -> None:
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        for order in ("unload", "load"):
            assert (await anna.post(f"/engine/{order}")).status_code == 403
        assert "/engine/unload" not in (await anna.get("/status")).text
        assert "/engine/unload" not in (await anna.get("/status/live")).text
    assert site.engine.orders == []


async def test_restarts_that_nobody_asked_for_are_counted_and_explained(
    site: Site, client: httpx2.AsyncClient
) -> None:
    assert "nobody asked for" not in (await client.get("/status")).text
    reason = Phrase("The engine ended with status %(status)s: %(words)s")
    incident = Incident(
        datetime.now(UTC), "crashed", replace(reason, values={"status": 1, "words": EVIL})
    )
    site.engine.board.publish(restarts=2, incidents=(incident,))
    page = (await client.get("/status")).text
    assert "2 restarts that nobody asked for" in page
    assert "The engine ended with status 1: &lt;script&gt;" in page


async def test_lost_records_are_shown_loudly(site: Site, client: httpx2.AsyncClient) -> None:
    def full(session: Session) -> None:
        raise OperationalError("INSERT", {}, Exception("disk is <full>"))

    site.writer.submit(full)
    await site.writer.drained()
    page = (await client.get("/status")).text
    assert "1 record could not be written down" in page
    assert 'role="alert"' in page
    assert "disk is &lt;full&gt;" in page


async def test_an_ordinary_key_sees_the_status_but_not_the_controls(site: Site) -> None:
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        page = (await anna.get("/status")).text
        assert "Script-1B" in page
        assert "/engine/restart" not in page
        assert (await anna.post("/engine/restart")).status_code == 403
    assert site.engine.restarts_asked == 0


async def test_an_open_door_is_said_to_be_open(site: Site) -> None:
    reach = replace(site.parts.reach, host="0.0.0.0")  # noqa: S104 - what is shown, not bound
    object.__setattr__(site.parts, "reach", reach)
    async with visitor(site, "127.0.0.1") as client:
        page = (await client.get("/status")).text
    assert "whoever has a key" in page
    assert "--lan" not in page


PHASES = ["starting", "loading", "ready", "restarting", "stopped", "unloading", "unloaded"]


@pytest.mark.parametrize("phase", PHASES)
async def test_chinese_is_complete(site: Site, client: httpx2.AsyncClient, phase: str) -> None:
    client.cookies.set("language", "zh")
    site.engine.board.publish(phase=phase)
    record(site)
    page = (await client.get("/status")).text
    assert [text for text in english_words(page) if "--lan" not in text] == []
