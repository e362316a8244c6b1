"""Reads a model out of a transformers `config.json` and its neighbour. No file access here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.engine.config import ModelSource, Precision
from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry
from appliance.fit.recommended import recommended_sampling
from appliance.fit.refusals import already_quantised
from appliance.fit.shape import Shape

_QK_NORM = {"qwen3", "gemma3", "gemma3_text", "olmo2"}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
# Families that their makers stretch with YaRN: (positions in the file, trained for, at most).
_YARN = {"qwen3": ((32_768, 40_960), 32_768, 131_072)}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a hub or a folder says of a model: `config.json`, `generation_config.json` (or {})."""

    config: Mapping[str, Any]
    generation: Mapping[str, Any] = field(default_factory=dict)


def describe_config(files: ModelFiles, source: ModelSource, name: str) -> ModelEntry:
    """The model of a `config.json`. Raises SetupError when its size does not follow from it."""
    config = files.config
    text = config.get("text_config") or config
    _refuse_unsized(text, name)
    packed = _packed(config, name)
    try:
        shape = _shape(text, config)
        context = int(text["max_position_embeddings"])
        native, yarn_max = _yarn(text, context)
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
        context_native=native,
        context_max=context,
        yarn_max=yarn_max,
        packed=packed,
        sampling=recommended_sampling(files.generation),
    )


def _yarn(text: Mapping[str, Any], context: int) -> tuple[int, int | None]:
    """What the model was trained for, and how far it may be stretched."""
    known, native, most = _YARN.get(str(text.get("model_type")), ((), context, None))
    stretched = any(
        (text.get(key) or {}).get("rope_type", "default") != "default"
        for key in ("rope_scaling", "rope_parameters")
    )
    return (native, most) if context in known and not stretched else (context, None)


def _shape(text: Mapping[str, Any], config: Mapping[str, Any]) -> Shape:
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


def _kv_layers(text: Mapping[str, Any]) -> int | None:
    """Hybrid models keep a growing cache only in their full-attention layers."""
    kinds: list[str] | None = text.get("layer_types")
    if not kinds or "linear_attention" not in kinds:
        return None
    return sum(kind != "linear_attention" for kind in kinds)


def _refuse_unsized(text: Mapping[str, Any], name: str) -> None:
    if any(text.get(key) for key in _EXPERTS):
        raise SetupError(
            "%(model)s is a mixture of experts, which this engine does not run: serve it with "
            "vLLM and give its address with --engine remote --engine-url.",
            param="model",
            model=name,
        )


def _packed(config: Mapping[str, Any], name: str) -> Precision | None:
    """The precision of weights that are quantised already, as far as vLLM's kinds go."""
    quantised = config.get("quantization_config")
    if not quantised:
        return None
    method = str(quantised.get("quant_method", "unknown method"))
    if method == "fp8":
        return "fp8"
    if method == "awq" and quantised.get("bits", 4) == 4:
        return "awq"
    raise already_quantised(name, method)
