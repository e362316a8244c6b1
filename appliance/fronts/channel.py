"""The first front's private entrance, by which further fronts bring what they do not serve."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.fronts.ticket import received


@dataclass(frozen=True, slots=True)
class Channel:
    """A socket that only this user can reach, and a secret that only our own processes know."""

    listener: socket.socket
    path: str
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))


@contextmanager
def channel() -> Iterator[Channel]:
    """Open while inside. Not in the data folder, whose path may be longer than a socket's can be
    and whose disk may know none."""
    folder = Path(tempfile.mkdtemp(prefix="appliance-"))  # its owner's alone
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path = folder / "front"
        listener.bind(str(path))
        os.chmod(path, 0o600)  # noqa: PTH101 - a socket, not a file of ours
        listener.listen(2048)
        yield Channel(listener, str(path))
    finally:
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


class Relayed:
    """Gives `app` a relayed request as if it had come here: address, scheme and headers are those
    that the other front has seen. Nobody else gets in."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        original = received(scope, self._secret)
        if original is None:
            response = PlainTextResponse("This entrance is for our own processes.", 403)
            await response(scope, receive, send)
            return
        await self._app(original, receive, send)
