"""What a browser is told when it asks whether these pages can be installed."""

from __future__ import annotations

import json
import re
import struct

import httpx2
import pytest

from tests.web.site import Site

pytestmark = pytest.mark.anyio


async def test_the_manifest_speaks_the_readers_language_and_its_icons_are_there(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    english = await stranger.get("/manifest.webmanifest")
    assert english.headers["content-type"] == "application/manifest+json"
    assert english.json()["name"] == "Appliance"
    wish = {"accept-language": "zh-CN,zh;q=0.9"}
    chinese = await stranger.get("/manifest.webmanifest", headers=wish)
    assert (chinese.json()["name"], chinese.json()["lang"]) == ("AI 一体机", "zh-Hans")
    cookie = {"cookie": "language=zh"}
    assert (await stranger.get("/manifest.webmanifest", headers=cookie)).json() == chinese.json()
    purposes = set()
    for icon in english.json()["icons"]:
        answer = await stranger.get(icon["src"])
        assert answer.headers["content-type"] == icon["type"]
        purposes.add((icon["purpose"], icon["type"]))
        if icon["type"] == "image/png":
            assert "{}x{}".format(*struct.unpack(">II", answer.content[16:24])) == icon["sizes"]
    kinds = ("image/png", "image/svg+xml")
    assert purposes == {(purpose, kind) for purpose in ("any", "maskable") for kind in kinds}


async def test_the_worker_keeps_the_notice_and_public_files_only(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    worker = await stranger.get("/service-worker.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    assert "default-src 'self'" in worker.headers["content-security-policy"]
    found = re.search(r"const KEPT = (\[.*\]);", worker.text)
    assert found is not None
    notice, *files = json.loads(found[1])
    assert all(file.startswith("/static/") for file in files)
    page = await stranger.get(notice, headers={"accept-language": "zh"})
    assert page.text.index("无法连接到一体机") < page.text.index("The appliance cannot be reached")
    linked = set(re.findall(r'(?:href|src)="(/[^"]+)"', page.text))
    assert linked == set(files)
