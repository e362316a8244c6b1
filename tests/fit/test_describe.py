"""What `--model` may name, and how we learn its size."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry, load_catalogue
from appliance.fit.describe import describe, hub_config
from tests.fit.machines import demo_file

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def look(wish: str, config: dict[str, Any] | None = None) -> ModelEntry | None:
    return describe(wish, load_catalogue(), lambda _: config)


def write_config(folder: Path, config: dict[str, Any]) -> str:
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


def test_a_folder_is_sized_from_its_config(tmp_path: Path) -> None:
    entry = look(write_config(tmp_path, LLAMA))
    assert entry is not None
    assert entry.source.kind == "folder"
    assert entry.shape.parameters == 1000 * 64 + 2 * (64 * 16 * 12 + 3 * 64 * 128 + 128) + 64
    assert entry.shape.kv_bytes_per_token() == 2 * 2 * 2 * 16 * 2
    assert entry.context_native == 2048


def test_a_hybrid_model_caches_only_in_its_attention_layers(tmp_path: Path) -> None:
    text = LLAMA | {"layer_types": ["linear_attention", "full_attention"], "head_dim": 32}
    entry = look(write_config(tmp_path, {"model_type": "hybrid", "text_config": text}))
    assert entry is not None
    assert entry.shape.kv_bytes_per_token() == 2 * 1 * 2 * 32 * 2


def test_a_gguf_file_is_sized_from_its_head() -> None:
    entry = look(str(demo_file()))
    assert entry is not None
    assert entry.source.kind == "gguf"
    assert entry.shape.parameters == 134_515_008


def test_an_unknown_hub_id_is_sized_from_the_hub() -> None:
    entry = look("some/model", LLAMA)
    assert entry is not None
    assert (entry.source.kind, entry.source.location) == ("hub", "some/model")


def test_an_unknown_hub_id_without_the_hub_has_no_size() -> None:
    assert look("some/model", None) is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"num_experts": 8}, "mixture of experts"),
        ({"quantization_config": {"quant_method": "awq"}}, r"already quantised \(awq\)"),
        ({"vocab_size": None}, "size is unknown"),
    ],
)
def test_what_cannot_be_sized_is_refused(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SetupError, match=complaint):
        look(write_config(tmp_path, LLAMA | change))


@pytest.mark.parametrize("wish", ["nonsense", "/no/such/folder", "a/b/c", "../x y"])
def test_nonsense_is_refused(wish: str) -> None:
    with pytest.raises(SetupError, match="is no model"):
        look(wish)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no readable config\.json"):
        look(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all, but long enough" * 9])
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(SetupError, match="not a GGUF model"):
        look(str(file))


def test_a_truncated_gguf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    with demo_file().open("rb") as whole:
        file.write_bytes(whole.read(5000))
    with pytest.raises(SetupError, match="not a GGUF model"):
        look(str(file))


class Hub(BaseHTTPRequestHandler):
    """A hub with one public model."""

    def do_GET(self) -> None:
        found = self.path == "/some/model/resolve/main/config.json"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(LLAMA).encode() if found else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keeps the test's output quiet."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_hub_is_asked_for_the_config(hub: ThreadingHTTPServer) -> None:
    assert hub_config("some/model") == LLAMA


def test_a_model_that_the_hub_does_not_have_is_refused(hub: ThreadingHTTPServer) -> None:
    with pytest.raises(SetupError, match=r"no model some/other .*status 404"):
        hub_config("some/other")


def test_an_unreachable_hub_is_not_an_error(
    hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert hub_config("some/model") is None


def test_the_local_cache_is_asked_first(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    folder = tmp_path / "models--some--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    write_config(folder / "snapshots" / "abc", LLAMA | {"vocab_size": 7})
    config = hub_config("some/model")
    assert config is not None
    assert config["vocab_size"] == 7
