"""What model is inside a GGUF file, by its head alone. Nothing is loaded."""

from __future__ import annotations

from pathlib import Path

from appliance.engine.config import ModelSource
from appliance.engine.gguf import GgufError, GgufHead, read_gguf
from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry
from appliance.fit.shape import Shape


def describe_gguf(path: Path) -> ModelEntry:
    """The model inside a GGUF file. Raises SetupError when the file is not one."""
    try:
        return _entry(path, read_gguf(path, arrays=False))
    except (OSError, GgufError, KeyError, TypeError, ValueError) as error:
        raise SetupError(
            "%(path)s is not a GGUF model that can be read: %(error)s.",
            param="model",
            path=str(path),
            error=f"{error} is missing" if isinstance(error, KeyError) else str(error),
        ) from error


def _entry(path: Path, head: GgufHead) -> ModelEntry:
    facts = head.metadata
    prefix = f"{facts['general.architecture']}."

    def number(key: str) -> int:
        return int(facts[prefix + key])

    hidden, heads = number("embedding_length"), number("attention.head_count")
    shape = Shape(
        layers=number("block_count"),
        hidden=hidden,
        ffn=number("feed_forward_length"),
        heads=heads,
        kv_heads=int(facts.get(prefix + "attention.head_count_kv", heads)),
        head_dim=int(facts.get(prefix + "attention.key_length", hidden // heads)),
        vocabulary=int(facts["tokenizer.ggml.tokens"]),
        tied_embeddings="output.weight" not in head.tensors,
        qk_norm="blk.0.attn_q_norm.weight" in head.tensors,
    )
    return ModelEntry(
        id=path.stem,
        name=path.stem,
        source=ModelSource("gguf", str(path.absolute())),
        shape=shape,
        context_native=number("context_length"),
        context_max=number("context_length"),
        gguf_bytes=path.stat().st_size,
    )
