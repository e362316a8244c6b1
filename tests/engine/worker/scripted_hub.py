"""A hub on this machine: both protocols, one repository, and whatever can go wrong on the way."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/small-model"
GATED = "someone/locked-model"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": bytes(range(256)) * 4_000,
    "notes.md": b"not wanted",
}
WANTED_BYTES = len(FILES["config.json"]) + len(FILES["model.safetensors"])


@dataclass
class Script:
    """What the hub has, what it was asked, and how it misbehaves next.

    `cuts`: after how many bytes each of the next answers with weights ends. `refusals`: statuses
    of the next ones. `released` ends all stalls.
    """

    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    log: list[str] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    with_ranges: bool = True
    stalls: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def asked_for(self, name: str) -> list[str]:
        """The ranges that were asked of a file, in order."""
        return [line.split(" ", 1)[1] for line in self.log if line.split(" ")[0] == name]


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, script: Script) -> None:
        self.script = script
        super().__init__(*args)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        modelscope = f"/api/v1/models/{REPOSITORY}/repo"
        if GATED in url.path:
            self._send(b"{}", {"X-Error-Code": "GatedRepo"}, status=403)
        elif url.path == f"/api/models/{REPOSITORY}/revision/main" and query == {"blobs": "true"}:
            self._list({"sha": COMMIT, "siblings": [_sibling(name) for name in FILES]})
        elif url.path == modelscope + "/files" and query["Revision"] == "master":
            folder = {"Path": "original", "Type": "tree", "Size": 0}
            self._list({"Code": 200, "Data": {"Files": [folder, *map(_entry, FILES)]}})
        elif url.path == modelscope:
            self._file(query["FilePath"])
        elif url.path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/"):
            self._file(url.path.rsplit("/", 1)[1])
        else:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keeps the test's output quiet."""

    def _list(self, values: dict[str, Any]) -> None:
        self.script.log.append("list")
        self._send(json.dumps(values).encode(), {})

    def _file(self, name: str) -> None:
        script = self.script
        asked = self.headers.get("Range", "")
        script.log.append(f"{name} {asked}".strip() + ("" if asked else " all"))
        body, status, headers = script.files[name], 200, {}
        if asked and script.with_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        if name.endswith(".safetensors") and script.refusals:
            self._send(b"", {}, status=script.refusals.pop(0))
        elif name.endswith(".safetensors") and script.cuts:
            self._send(body, headers, status, length=script.cuts.pop(0))
        else:
            self._send(body, headers, status)

    def _send(
        self, body: bytes, headers: dict[str, str], status: int = 200, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:length])
        if length is not None:
            self.wfile.flush()
            if self.script.stalls:
                self.script.released.wait(30)
            self.close_connection = True


def _digest(name: str) -> str:
    return hashlib.sha256(FILES[name]).hexdigest()


def _sibling(name: str) -> dict[str, Any]:
    """A small file carries git's checksum, a large one its SHA-256."""
    entry: dict[str, Any] = {"rfilename": name, "size": len(FILES[name]), "blobId": "git's"}
    if name.endswith(".safetensors"):
        entry["lfs"] = {"sha256": _digest(name), "size": len(FILES[name]), "pointerSize": 100}
    return entry


def _entry(name: str) -> dict[str, Any]:
    return {"Path": name, "Type": "blob", "Size": len(FILES[name]), "Sha256": _digest(name)}


@contextmanager
def scripted_hub() -> Iterator[tuple[str, Script]]:
    """Its address, and its script."""
    script = Script()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answering, script=script))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", script
    script.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
