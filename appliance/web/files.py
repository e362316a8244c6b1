"""A text as a file to keep."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Response
from fastapi.responses import PlainTextResponse


def download(name: str, text: str) -> Response:
    """Sends `text` as an attachment that no browser opens by itself."""
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "no-store",
    }
    return PlainTextResponse(text, headers=headers)
