"""What `--model` may name, and how we learn its size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry, load_catalogue
from appliance.fit.describe import describe
from appliance.fit.hf_config import ModelFiles
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
    files = None if config is None else ModelFiles(config)
    return describe(wish, load_catalogue(), lambda _: files)


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
        ({"quantization_config": {"quant_method": "gptq"}}, r"already quantised \(gptq\)"),
        (
            {"quantization_config": {"quant_method": "awq", "bits": 8}},
            r"already quantised \(awq\)",
        ),
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


@pytest.mark.parametrize(("method", "precision"), [("fp8", "fp8"), ("awq", "awq")])
def test_weights_that_vllm_unpacks_are_known_by_their_kind(
    tmp_path: Path, method: str, precision: str
) -> None:
    entry = look(write_config(tmp_path, LLAMA | {"quantization_config": {"quant_method": method}}))
    assert entry is not None
    assert entry.packed == precision


def test_a_folder_recommends_its_own_sampling(tmp_path: Path) -> None:
    recommends = {
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "do_sample": True,
        "eos_token_id": [1, 2],
        "min_p": "none",
        "repetition_penalty": 7,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(recommends))
    entry = look(write_config(tmp_path, LLAMA))
    assert entry is not None
    assert entry.sampling == {"temperature": 0.6, "top_k": 20, "top_p": 0.95}
    assert entry.sampling_thinking == {}


def test_a_broken_recommendation_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("[]")
    with pytest.raises(SetupError, match=r"generation_config\.json is not a JSON object"):
        look(write_config(tmp_path, LLAMA))


@pytest.mark.parametrize(
    ("change", "contexts"),
    [
        ({"max_position_embeddings": 40_960}, (32_768, 40_960, 131_072)),
        ({"max_position_embeddings": 262_144}, (262_144, 262_144, 262_144)),
        (
            {"max_position_embeddings": 40_960, "rope_scaling": {"rope_type": "yarn"}},
            (40_960, 40_960, 40_960),
        ),
    ],
)
def test_a_qwen3_of_any_name_may_be_stretched(
    change: dict[str, Any], contexts: tuple[int, int, int]
) -> None:
    entry = look("some/model", LLAMA | {"model_type": "qwen3"} | change)
    assert entry is not None
    assert (entry.context_native, entry.context_max, entry.context_limit) == contexts
