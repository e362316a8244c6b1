"""Reads the shape of a model out of a transformers `config.json`. No file access here."""

from __future__ import annotations

from typing import Any

from appliance.engine.config import ModelSource
from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry
from appliance.fit.shape import Shape

_QK_NORM = {"qwen3", "gemma3", "gemma3_text", "olmo2"}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def describe_config(config: dict[str, Any], source: ModelSource, name: str) -> ModelEntry:
    """The model of a `config.json`. Raises SetupError when its size does not follow from it."""
    text = config.get("text_config") or config
    _refuse_unsized(config, text, name)
    try:
        shape = _shape(text, config)
        context = int(text["max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(
            "The config.json of %(model)s lacks %(field)s, so its size is unknown: only decoder "
            "models of the Llama and Qwen form can be planned.",
            param="model",
            model=name,
            field=str(error),
        ) from error
    return ModelEntry(
        id=name,
        name=name,
        source=source,
        shape=shape,
        context_native=context,
        context_max=context,
    )


def _shape(text: dict[str, Any], config: dict[str, Any]) -> Shape:
    hidden, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
    return Shape(
        layers=int(text["num_hidden_layers"]),
        hidden=hidden,
        ffn=int(text["intermediate_size"]),
        heads=heads,
        kv_heads=int(text.get("num_key_value_heads") or heads),
        head_dim=int(text.get("head_dim") or hidden // heads),
        vocabulary=int(text["vocab_size"]),
        tied_embeddings=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings"))),
        qk_norm=text.get("model_type") in _QK_NORM,
        kv_layers=_kv_layers(text),
    )


def _kv_layers(text: dict[str, Any]) -> int | None:
    """Hybrid models keep a growing cache only in their full-attention layers."""
    kinds: list[str] | None = text.get("layer_types")
    if not kinds or "linear_attention" not in kinds:
        return None
    return sum(kind != "linear_attention" for kind in kinds)


def _refuse_unsized(config: dict[str, Any], text: dict[str, Any], name: str) -> None:
    if any(text.get(key) for key in _EXPERTS):
        raise SetupError(
            "%(model)s is a mixture of experts, which this engine does not run: serve it with "
            "vLLM and give its address with --engine remote --engine-url.",
            param="model",
            model=name,
        )
    quantised = config.get("quantization_config")
    if quantised:
        raise SetupError(
            "%(model)s is already quantised (%(method)s): name the 16-bit model instead, and it "
            "is quantised while loading if the card needs that.",
            param="model",
            model=name,
            method=quantised.get("quant_method", "unknown method"),
        )
