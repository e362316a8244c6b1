"""The catalogue that we ship is sound, and a broken one says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import SetupError
from appliance.fit.catalogue import CATALOGUE_FILE, load_catalogue
from appliance.fit.gguf import describe_gguf
from tests.fit.machines import demo_file


def test_auto_goes_from_the_largest_to_the_smallest() -> None:
    sizes = [entry.shape.parameters for entry in load_catalogue().automatic]
    assert len(sizes) == 4
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["qwen3-8b", "Qwen3-8B", "Qwen/Qwen3-8B", "qwen/qwen3-8b"])
def test_a_model_is_found_by_each_of_its_names(name: str) -> None:
    entry = load_catalogue().find(name)
    assert entry is not None
    assert entry.source.location == "Qwen/Qwen3-8B"


def test_thinking_models_recommend_sampling_for_both_ways() -> None:
    for qwen in load_catalogue().automatic:
        plain, thinking = qwen.sampling, qwen.sampling_thinking
        assert [plain[name] for name in ("temperature", "top_p", "top_k")] == [0.7, 0.8, 20]
        assert [thinking[name] for name in ("temperature", "top_p", "top_k")] == [0.6, 0.95, 20]


@pytest.mark.parametrize(
    ("context", "factor"),
    [(32_768, None), (40_960, None), (40_961, 2.0), (65_536, 2.0), (65_537, 4.0), (131_072, 4.0)],
)
def test_the_smallest_stretch_that_does_is_taken(context: int, factor: float | None) -> None:
    assert load_catalogue().automatic[0].yarn_factor(context) == factor


def test_quantised_weights_come_from_the_makers() -> None:
    qwen = load_catalogue().automatic[0]
    assert qwen.source_for("fp8").location == "Qwen/Qwen3-8B-FP8"
    assert qwen.source_for("awq").location == "Qwen/Qwen3-8B-AWQ"
    assert qwen.source_for("bf16") == qwen.source_for("nf4") == qwen.source


def test_the_packaged_file_is_what_the_catalogue_says() -> None:
    inside, listed = describe_gguf(demo_file()), load_catalogue().demo
    assert inside.shape == listed.shape
    assert inside.context_native == listed.context_native
    assert inside.gguf_bytes == listed.gguf_bytes


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('name = "Qwen3-4B"\n', ""), "name"),
        (("layers = 28", 'layers = "many"'), "shape.layers"),
        (("kv_heads = 3", "kv_heads = 0"), "kv_heads must be at least 1"),
        (("thinking = false", "thinkin = false"), "thinkin"),
        (('hub = "Qwen/Qwen3-4B"\n', ""), "exactly one of `hub` and `package`"),
        (('id = "demo"', 'id = "dema"'), "`demo` among them"),
        (('id = "qwen3-4b"', 'id = "qwen3-8b"'), "each id once"),
        (("context_max = 8192", "context_max = 4096"), "context_native"),
        (("context_max = 8192", "context_max = 8192\nyarn_max = 16384"), "yarn_max"),
        (("yarn_max = 131072", "yarn_max = 262144"), "yarn_max"),
        (("[[model]]", "[[model"), "cannot be read"),
    ],
)
def test_a_broken_catalogue_is_explained(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    text = CATALOGUE_FILE.read_text("utf-8")
    assert change[0] in text
    broken = tmp_path / "models.toml"
    broken.write_text(text.replace(change[0], change[1], 1), "utf-8")
    with pytest.raises(SetupError) as caught:
        load_catalogue(broken)
    assert complaint in str(caught.value)
    assert "models.toml" in str(caught.value)


def test_a_missing_catalogue_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"models\.toml cannot be read"):
        load_catalogue(tmp_path / "models.toml")
