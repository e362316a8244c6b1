"""Files to keep: a text, or what is written while it is sent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import PlainTextResponse
from starlette.responses import StreamingResponse

from appliance.errors import PermissionDenied
from appliance.web.page import Page
from appliance.web.sse import LOOK_EVERY_SECONDS

Pieces = AsyncIterator[str] | AsyncIterator[bytes]


def download(name: str, text: str) -> Response:
    """Sends `text` as an attachment that no browser opens by itself."""
    return PlainTextResponse(text, headers=_as_attachment(name))


def growing_download(page: Page, pieces: Pieces, name: str, media_type: str) -> StreamingResponse:
    """Sends `pieces` to their end, or until the reader's key opens nothing any more: the connection
    then ends in the middle, which tells such a file from a whole one. It is called `name` after
    today's date."""
    headers = _as_attachment(f"{datetime.now().astimezone():%Y-%m-%d}-{name}")
    return StreamingResponse(_while_known(page, pieces), media_type=media_type, headers=headers)


async def _while_known(page: Page, pieces: Pieces) -> AsyncIterator[str | bytes]:
    looked = time.monotonic()
    async for piece in pieces:
        if time.monotonic() - looked > LOOK_EVERY_SECONDS:
            if await page.parts.identify(page.request) != page.caller:
                raise PermissionDenied("What this key opens was changed. Begin again.")
            looked = time.monotonic()
        yield piece


def _as_attachment(name: str) -> dict[str, str]:
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "no-store",
    }
