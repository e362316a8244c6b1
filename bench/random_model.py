"""Qwen3-8B's shape with random weights made on the device, and what reading it must cost."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from appliance.engine.config import Precision
from appliance.engine.worker.backends.weights import _dtype, _quantisation
from appliance.engine.worker.folder import open_folder
from bench.contestants import demo_gguf

COPY_BYTES = 4 << 30


def qwen3_8b() -> Qwen3Config:
    """As its makers published it."""
    return Qwen3Config(
        vocab_size=151936,
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40960,
        tie_word_embeddings=False,
    )


def tiny() -> Qwen3Config:
    return Qwen3Config(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )


def random_model(config: Qwen3Config, precision: Precision, device: str) -> Any:
    """Loaded as `weights.load_model` loads a folder, from weights that are made on `device`."""
    dtype = _dtype(precision, device)
    with torch.device("meta"):
        shapes = Qwen3ForCausalLM(config).state_dict()
    state = {
        name: torch.empty(shape.shape, dtype=dtype, device=device).normal_(0, 0.02)
        for name, shape in shapes.items()
    }
    load: Any = Qwen3ForCausalLM.from_pretrained
    return load(
        None,
        config=config,
        state_dict=state,
        dtype=dtype,
        quantization_config=_quantisation(precision, device),
        device_map={"": device},
        attn_implementation="sdpa",
    )


def write_folder(
    folder: Path, config: Qwen3Config, device: str, tokenizer: Path | None = None
) -> None:
    """Random 16-bit weights as a hub's folder, with the tokenizer files of `tokenizer` (default:
    the demo model's). It names no end token, so that every answer has the length asked for."""
    if tokenizer is None:
        with tempfile.TemporaryDirectory() as cache:
            demo = open_folder(demo_gguf(), Path(cache), lambda *_: None)
            return write_folder(folder, config, device, demo.path)
    described = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = described["model"]["vocab"]
    config.vocab_size = max(config.vocab_size, len(vocabulary))
    # Every number that a random model says is to be some text.
    vocabulary.update({f"Ġ<{n}>": n for n in range(len(vocabulary), config.vocab_size)})
    random_model(config, "bf16", device).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    shutil.copy(tokenizer / "tokenizer_config.json", folder)
    return None


def bandwidth(device: str, size: int = COPY_BYTES) -> float:
    """Bytes a second that copying `size` bytes on the device reads and writes; best of ten."""
    source = torch.empty(size, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        synchronise(device)
        began = time.perf_counter()
        target.copy_(source)
        synchronise(device)
        best = max(best, 2 * size / (time.perf_counter() - began))
    return best


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def step_bytes(model: Any, config: Qwen3Config, streams: int, length: float) -> float:
    """What one step must read: every weight but the input embeddings' rows, and the cache."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    embeddings = model.get_input_embeddings().weight
    if isinstance(embeddings, torch.nn.Parameter):  # otherwise they are in RAM
        weights -= embeddings.numel() * embeddings.element_size()
    heads = config.num_key_value_heads or config.num_attention_heads
    a_token = 2 * config.num_hidden_layers * heads * int(config.head_dim)
    return float(weights + streams * length * a_token * embeddings.element_size())
