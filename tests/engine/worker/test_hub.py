"""Fetching from a hub: the real client against a small server that speaks the hub's API."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from appliance.engine.config import ModelSource
from appliance.engine.worker.failure import LoadFailure
from appliance.engine.worker.hub import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/small-model"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights " * 100_000,
    "notes.md": b"not wanted",
}


class Hub(BaseHTTPRequestHandler):
    """One repository. Large files carry their SHA-256 as ETag, as on the real hub."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, log: list[str], files: dict[str, bytes]) -> None:
        self.log, self.files = log, files
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        self.log.append(f"{self.command} {self.path}")

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self._send(json.dumps(self._tree()).encode(), {}, with_body)
        elif path.startswith(f"/api/models/{REPOSITORY}/revision/"):
            siblings = [{"rfilename": name} for name in self.files]
            info = {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(info).encode(), {}, with_body)
        elif path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/"):
            self._file(path.rsplit("/", 1)[1], with_body)
        else:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, with_body, status=404)

    def _tree(self) -> list[dict[str, Any]]:
        return [_entry(name, body) for name, body in self.files.items()]

    def _file(self, name: str, with_body: bool) -> None:
        body = self.files[name]
        digest = hashlib.sha256(FILES[name]).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        self._send(body, headers, with_body)

    def _send(
        self, body: bytes, headers: dict[str, str], with_body: bool, status: int = 200
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _entry(name: str, body: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(FILES[name]).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(body), "oid": digest[:40]}
    if name.endswith(".safetensors"):
        entry["lfs"] = {"oid": digest, "size": len(body), "pointerSize": 100}
    return entry


class Served:
    """A running hub: its address, what was asked of it, and the files, which may be damaged."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.files = dict(FILES)
        handler = partial(Hub, log=self.log, files=self.files)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub() -> Iterator[Served]:
    served = Served()
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def get(
    hub: Served, cache: Path, location: str = REPOSITORY
) -> tuple[Path, list[tuple[str, int, int]]]:
    seen: list[tuple[str, int, int]] = []
    source = ModelSource("hub", location)
    return fetch(source, cache, hub.url, lambda *step: seen.append(step)), seen


def test_fetches_what_is_needed_and_tells_how_far_it_is(hub: Served, tmp_path: Path) -> None:
    folder, seen = get(hub, tmp_path)
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    wanted = len(FILES["config.json"]) + len(FILES["model.safetensors"])
    assert ("download", wanted, wanted) in seen


def test_complete_model_needs_no_hub(hub: Served, tmp_path: Path) -> None:
    folder, _ = get(hub, tmp_path)
    hub.log.clear()
    assert get(hub, tmp_path)[0] == folder
    assert hub.log == []


def test_damaged_file_is_fetched_again(hub: Served, tmp_path: Path) -> None:
    folder, _ = get(hub, tmp_path)
    weights = folder / "model.safetensors"
    if not weights.is_symlink():
        pytest.skip("this system's cache has no links, so no checksums")
    weights.resolve().write_bytes(b"wrong " * 100_000)
    assert (get(hub, tmp_path)[0] / weights.name).read_bytes() == FILES[weights.name]


def test_file_that_always_arrives_damaged_is_called_corrupt(hub: Served, tmp_path: Path) -> None:
    hub.files["model.safetensors"] = FILES["model.safetensors"].replace(b"w", b"W")
    with pytest.raises(LoadFailure) as caught:
        get(hub, tmp_path)
    assert caught.value.code == "model_corrupt"


def test_unknown_repository_is_missing(hub: Served, tmp_path: Path) -> None:
    for location in ("someone/else", "no id at all", f"{REPOSITORY}/absent.gguf"):
        with pytest.raises(LoadFailure) as caught:
            get(hub, tmp_path, location)
        assert caught.value.code == "model_missing", location


def test_one_file_of_a_repository(hub: Served, tmp_path: Path) -> None:
    path, _ = get(hub, tmp_path, f"{REPOSITORY}/notes.md")
    assert path.read_bytes() == FILES["notes.md"]
