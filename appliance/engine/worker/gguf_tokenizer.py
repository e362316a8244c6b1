"""Builds a `tokenizers` tokenizer from the vocabulary inside a GGUF file.

Only byte-level BPE (GGUF's `gpt2` model: Llama 3, Qwen, SmolLM and most newer models). The way
that text is cut before merging is only named in the file, so each name is listed here; a name
that is not listed is refused rather than cut wrongly, which would quietly cost quality.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from appliance.engine.worker.failure import LoadFailure

_CONTROL, _USER_DEFINED = 3, 4
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
_SPLITS = {
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama-bpe": _LLAMA3,
}
# llama.cpp's own list: files name one end token, but templates end turns with others as well.
_END_OF_TURN = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eom_id|>",
)


def build_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    """The tokenizer that the file describes. Raises LoadFailure `load_failed` for other kinds."""
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise LoadFailure(
            "load_failed",
            f"This GGUF file has a {kind!r} vocabulary, which this engine does not read. Files of "
            "Qwen, Llama 3 and SmolLM models work; for others give the original folder or hub id.",
        )
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    _set_pre_tokenizer(tokenizer, metadata.get("tokenizer.ggml.pre", "default"))
    tokenizer.decoder = decoders.ByteLevel()
    _add_special_tokens(tokenizer, tokens, metadata.get("tokenizer.ggml.token_type", []))
    return tokenizer


def _set_pre_tokenizer(tokenizer: Tokenizer, name: str) -> None:
    steps: list[Any]
    if name in _SPLITS:
        steps = [
            pre_tokenizers.Split(Regex(_SPLITS[name]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    elif name in ("smollm", "default", "gpt-2"):
        steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        if name == "smollm":
            steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    else:
        raise LoadFailure(
            "load_failed",
            f"This GGUF file cuts text in a way ({name!r}) that this engine does not know. "
            "Give the original folder or hub id of the model instead.",
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if _SPLITS.get(name) == _QWEN2:
        tokenizer.normalizer = normalizers.NFC()


def _add_special_tokens(tokenizer: Tokenizer, tokens: list[str], types: list[int]) -> None:
    """Control tokens vanish from decoded text; user-defined ones, like `<think>`, stay in it."""
    kinds = list(zip(tokens, types, strict=False))
    control = [AddedToken(t, normalized=False, special=True) for t, k in kinds if k == _CONTROL]
    defined = [AddedToken(t, normalized=False) for t, k in kinds if k == _USER_DEFINED]
    tokenizer.add_special_tokens(control)
    tokenizer.add_tokens(defined)


def end_tokens(metadata: dict[str, Any]) -> list[int]:
    """Ids that end an answer: the file's own, and every well-known name that it marks control."""
    ids = {metadata[key] for key in _end_keys() if key in metadata}
    types = metadata.get("tokenizer.ggml.token_type", [])
    for index, token in enumerate(metadata["tokenizer.ggml.tokens"]):
        if token in _END_OF_TURN and index < len(types) and types[index] == _CONTROL:
            ids.add(index)
    return sorted(ids)


def _end_keys() -> tuple[str, ...]:
    return tuple(f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom"))
