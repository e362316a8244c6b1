"""The whole appliance without a server or a model: requests go in as ASGI, a status comes out.

Only the start of an answer is waited for, so that endless streams are rows like all others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from itsdangerous import URLSafeTimedSerializer

from appliance.app import create_app
from appliance.fit.decision import Plan
from appliance.folder import DataFolder
from appliance.lan.network import Network
from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.writer import Writer
from appliance.settings import load_settings
from appliance.web.session import SESSION_COOKIE
from tests.web.site import PLAN, ScriptedEngine

ANSWER_SECONDS = 30.0
Answer = tuple[int, dict[str, str]]


class House:
    """One appliance on `folder`; `close()` it. `good_key` opens its login page.

    Its engine has failed, unless another one is given; `flags` are its settings.
    """

    good_key = ""

    def __init__(
        self,
        folder: Path,
        engine: ScriptedEngine | None = None,
        plan: Plan = PLAN,
        network: Network | None = None,
        **flags: object,
    ) -> None:
        settings = load_settings({"data_dir": folder, **flags}, {})
        self.folder = DataFolder(folder)
        self.folder.open("http://test")
        self.engine = engine or ScriptedEngine()
        if engine is None:
            self.engine.board.publish(phase="failed", facts=None)
        self.app = create_app(settings, self.folder, plan, self.engine, network=network)
        self.database = Database(settings.effective_database_url)
        self.writer = Writer(self.database)
        self.keys = KeyStore(self.database, self.writer)

    def close(self) -> None:
        self.writer.close()
        self.database.close()
        self.folder.close()

    def routes(self) -> Iterator[str]:
        """`METHOD /path` of all there are. HEAD goes the way of its GET."""
        for route in iter_route_contexts(self._inner.routes):
            for method in route.methods or ():
                if method != "HEAD":
                    yield f"{method} {route.path}"

    @property
    def _inner(self) -> FastAPI:
        app: Any = self.app
        while not isinstance(app, FastAPI):
            app = getattr(app, "app", None) or app._app
        return app

    async def cookie(self, key_id: str, ago: int = 0) -> str:
        """A genuine session cookie, also of sessions that were ended."""
        key = await self.keys.get(key_id)
        assert key is not None
        signer = URLSafeTimedSerializer(list(self.folder.signing()), salt="appliance.session")
        return f"{SESSION_COOKIE}={signer.dumps([key_id, key.session_epoch - ago])}"

    async def ask(
        self, method: str, path: str, headers: dict[str, str], address: str, body: str = ""
    ) -> Answer:
        """Status and headers of the answer; what follows them is not waited for."""
        started: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        kind = "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"
        sent = {"content-type": kind} | headers if body or method == "POST" else headers

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start" and not started.done():
                pairs = {name.decode().lower(): v.decode() for name, v in message["headers"]}
                started.set_result((message["status"], pairs))

        messages = iter([{"type": "http.request", "body": body.encode(), "more_body": False}])

        async def receive() -> Any:
            if (message := next(messages, None)) is None:
                await asyncio.Event().wait()  # the client stays
            return message

        scope = self.scope("http", path, sent, address) | {"method": method, "scheme": "http"}
        if method == "GET":
            scope["query_string"] = body.encode()
        task = asyncio.ensure_future(self.app(scope, receive, send))
        task.add_done_callback(lambda _: started.done() or started.cancel())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await started
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return answer

    @staticmethod
    def scope(kind: str, path: str, headers: dict[str, str], address: str) -> dict[str, Any]:
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": (address, 40000),
            "server": ("127.0.0.1", 8000),
        }


def filled(path: str) -> str:
    """The path with something in place of its parameters."""
    return re.sub(r"\{[^}]*\}", "x", path)
