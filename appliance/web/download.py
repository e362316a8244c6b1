"""A file that is written while it is sent, to its end or until its reader's key opens nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime

from starlette.responses import StreamingResponse

from appliance.errors import PermissionDenied
from appliance.web.page import Page
from appliance.web.sse import LOOK_EVERY_SECONDS


def download(
    page: Page, pieces: AsyncIterator[str] | AsyncIterator[bytes], name: str, media_type: str
) -> StreamingResponse:
    """`name` is what the file is called after today's date. A file that is cut off is told from a
    whole one: its connection ends in the middle."""
    today = f"{datetime.now().astimezone():%Y-%m-%d}"
    headers = {
        "Content-Disposition": f'attachment; filename="{today}-{name}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_while_known(page, pieces), media_type=media_type, headers=headers)


async def _while_known(
    page: Page, pieces: AsyncIterator[str] | AsyncIterator[bytes]
) -> AsyncIterator[str | bytes]:
    looked = time.monotonic()
    async for piece in pieces:
        if time.monotonic() - looked > LOOK_EVERY_SECONDS:
            if await page.parts.identify(page.request) != page.caller:
                raise PermissionDenied("What this key opens was changed. Begin again.")
            looked = time.monotonic()
        yield piece
