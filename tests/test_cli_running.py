"""Commands and the appliance that they speak to, over TLS with its own authority."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from appliance.cli_running import Refused, Running
from appliance.errors import SetupError
from appliance.folder import DataFolder
from appliance.lan.tls import OwnAuthority, context_for
from tests.live import free_port

ANSWERS = {"/admin/engine": (200, {"phase": "ready"}), "/admin/keys": (403, {"detail": "Not you."})}


class Admin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        if self.headers["Authorization"] != "Bearer secret":
            status, body = 401, {"detail": "No key."}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path)
    yield folder
    folder.close()


@pytest.fixture
def over_tls(folder: DataFolder) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        # For the name in the certificate, and not the address that the command calls.
        context = context_for(OwnAuthority(folder.tls, lambda: ["appliance.local"]))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        folder.open(f"https://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("over_tls")
def test_its_own_certificate_is_trusted_and_its_refusal_is_told(folder: DataFolder) -> None:
    with Running(folder.path, "secret", 5) as appliance:
        assert appliance.ask("GET", "/engine") == {"phase": "ready"}
        with pytest.raises(Refused, match=r"^Not you\.$"):
            appliance.ask("GET", "/keys")
    with Running(folder.path, None, 5) as stranger, pytest.raises(Refused, match="No key"):
        stranger.ask("GET", "/engine")


def test_where_nothing_runs_or_answers_any_more_it_is_said(folder: DataFolder) -> None:
    with pytest.raises(SetupError, match="No appliance runs on"):
        Running(folder.path, None, 5)
    folder.open(f"http://127.0.0.1:{free_port()}")
    with Running(folder.path, None, 5) as gone, pytest.raises(SetupError) as told:
        gone.ask("GET", "/engine")
    assert not isinstance(told.value, Refused)
    assert "No appliance runs on" in str(told.value)
