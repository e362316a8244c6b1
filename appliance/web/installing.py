"""What lets a browser install the pages as an app: manifest, service worker, offline notice.

Open to everybody and the same for all readers of a language: nothing here knows who asks.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from appliance.domain import Phrase
from appliance.web import i18n
from appliance.web.assets import TEMPLATES, asset_url, assets
from appliance.web.page import OpenPage, OpenPageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)
NOTICE_PATH = "/offline"
NOTICE_FILES = ("app.css", "icon.svg", "offline.js")
OF_NOTICE = "?notice"
GROUND = "#fbfaf8"  # --bg of app.css, which a manifest cannot read
TITLE = Phrase("The appliance cannot be reached")
REASON = Phrase("It may be switched off, still starting, or in another network than this device.")
NEXT_STEP = Phrase("Start it, or join its network. This page looks again by itself.")
AGAIN = Phrase("Try again")


@dataclass(frozen=True, slots=True)
class Notice:
    """The same words in one language; `language` is a BCP 47 tag."""

    language: str
    title: str
    reason: str
    next_step: str
    again: str


@dataclass(frozen=True, slots=True)
class OfflineView:
    notices: tuple[Notice, ...]


@router.get("/manifest.webmanifest")
async def manifest(page: OpenPageDep) -> Response:
    """The web app manifest (W3C), in the reader's language."""
    headers = {"Vary": "Cookie, Accept-Language", "Cache-Control": "no-cache"}
    return JSONResponse(_manifest(page), headers=headers, media_type="application/manifest+json")


@router.get("/service-worker.js")
async def service_worker() -> Response:
    headers = {"Cache-Control": "no-cache"}
    return Response(_worker(), media_type="text/javascript", headers=headers)


@router.get(NOTICE_PATH)
async def offline(page: OpenPageDep) -> Response:
    """In every language at once: a browser keeps it from before its reader has chosen one."""
    first = sorted(i18n.LANGUAGES, key=lambda language: language != page.language)
    return page.render("offline.html", OfflineView(tuple(map(_notice, first))))


def _notice(language: str) -> Notice:
    phrases = (TITLE, REASON, NEXT_STEP, AGAIN)
    words = (i18n.translate(phrase, language) for phrase in phrases)
    return Notice("zh-Hans" if language == "zh" else language, *words)


def _manifest(page: OpenPage) -> dict[str, object]:
    places = [("/", "New chat"), ("/write", "Writing assistant"), ("/code", "Code helper")]
    return {
        "id": "/",
        "name": page.gettext("Appliance"),
        "short_name": page.gettext("Appliance"),
        "description": page.gettext("Chat, writing, code and an API, from a machine of your own."),
        "lang": "zh-Hans" if page.language == "zh" else page.language,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": GROUND,
        "theme_color": GROUND,
        "icons": [
            _icon("icon.svg", "any", "any"),
            _icon("icons/icon-192.png", "192x192", "any"),
            _icon("icons/icon-512.png", "512x512", "any"),
            _icon("icons/maskable.svg", "any", "maskable"),
            _icon("icons/maskable-512.png", "512x512", "maskable"),
        ],
        "shortcuts": [{"name": page.gettext(name), "url": path} for path, name in places],
    }


def _icon(name: str, sizes: str, purpose: str) -> dict[str, str]:
    kind = assets()[name].media_type
    return {"src": asset_url(name), "sizes": sizes, "type": kind, "purpose": purpose}


@cache
def _worker() -> str:
    """The script, told what to keep; its version changes with anything of that, or with itself."""
    source = assets()["service-worker.js"].body.decode()
    # By an address of their own: the same files come to pages by the browser's quicker cache.
    kept = [NOTICE_PATH, *(asset_url(name) + OF_NOTICE for name in NOTICE_FILES)]
    words = [repr(_notice(language)) for language in i18n.LANGUAGES]
    told = [source, *kept, (TEMPLATES / "offline.html").read_text("utf-8"), *words]
    version = hashlib.sha256("\n".join(told).encode()).hexdigest()[:10]
    return f"const VERSION = {json.dumps(version)};\nconst KEPT = {json.dumps(kept)};\n{source}"
