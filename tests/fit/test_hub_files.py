"""Looking up a model that only a hub knows: config and recommended sampling, from either kind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from appliance.engine.hubs import HUGGING_FACE, MODELSCOPE, Hub, hub_of
from appliance.errors import SetupError
from appliance.fit.hf_config import ModelFiles
from appliance.fit.hub_files import HubFiles
from tests.fit.test_describe import LLAMA, write_config

RECOMMENDED = {"temperature": 0.6}
FILES = {
    "/some/model/resolve/main/config.json": LLAMA,
    "/some/model/resolve/main/generation_config.json": RECOMMENDED,
    "/bare/model/resolve/main/config.json": LLAMA,
    "/api/v1/models/some/model/repo?Revision=master&FilePath=config.json": LLAMA,
}


class Answering(BaseHTTPRequestHandler):
    """A hub with two public models."""

    def do_GET(self) -> None:
        found = FILES.get(self.path)
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keeps the test's output quiet."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_hub_is_asked_for_both_files(hub: str) -> None:
    assert HubFiles(hub)("some/model") == ModelFiles(LLAMA, RECOMMENDED)


def test_a_model_without_a_recommendation(hub: str) -> None:
    assert HubFiles(hub)("bare/model") == ModelFiles(LLAMA, {})


def test_the_usual_variable_names_the_hub_too(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub + "/")
    assert HubFiles()("some/model") == ModelFiles(LLAMA, RECOMMENDED)


def test_modelscope_has_its_own_addresses(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.engine.hubs.MODELSCOPE", hub)
    assert HubFiles("modelscope")("some/model") == ModelFiles(LLAMA, {})


def test_a_model_that_the_hub_does_not_have_is_refused(hub: str) -> None:
    with pytest.raises(SetupError, match=r"no model some/other .*status 404"):
        HubFiles(hub)("some/other")


def test_an_unreachable_hub_is_not_an_error(hub: str) -> None:
    assert HubFiles("http://127.0.0.1:1")("some/model") is None


def test_the_local_cache_is_asked_first(hub: str, tmp_path: Path) -> None:
    folder = tmp_path / "models--some--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    write_config(folder / "snapshots" / "abc", LLAMA | {"vocab_size": 7})
    files = HubFiles(hub)("some/model")
    assert files is not None
    assert files.config["vocab_size"] == 7


@pytest.mark.parametrize(
    ("endpoint", "hub"),
    [
        (None, Hub("huggingface", HUGGING_FACE)),
        ("https://hf-mirror.com/", Hub("huggingface", "https://hf-mirror.com")),
        ("modelscope", Hub("modelscope", MODELSCOPE)),
        ("ModelScope", Hub("modelscope", MODELSCOPE)),
        ("https://www.modelscope.cn", Hub("modelscope", "https://www.modelscope.cn")),
        ("http://127.0.0.1:8080", Hub("huggingface", "http://127.0.0.1:8080")),
    ],
)
def test_the_setting_names_a_hub(
    endpoint: str | None, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub_of(endpoint) == hub


@pytest.mark.parametrize("endpoint", ["mirror", "ftp://mirror", "https://"])
def test_a_setting_that_names_no_hub_is_refused(endpoint: str) -> None:
    with pytest.raises(SetupError, match=r"is not an address: give one such as https://hf-mirror"):
        hub_of(endpoint)
