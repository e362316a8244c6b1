"""Loads a model for transformers: 16-bit, or shrunk by bitsandbytes to int8 or nf4."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from appliance.engine.config import Precision
from appliance.engine.worker.failure import LoadFailure

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(
    folder: Path, precision: Precision, threads: int | None, yarn_factor: float | None = None
) -> Any:
    """A model on the best device, with scaled-dot-product attention."""
    if threads:
        torch.set_num_threads(threads)
    # It writes a line for each matrix product whose input is not fp16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    device = best_device()
    return AutoModelForCausalLM.from_pretrained(
        folder,
        config=_stretched(folder, yarn_factor) if yarn_factor else None,
        dtype=_dtype(precision, device),
        quantization_config=_quantisation(precision, device),
        device_map={"": device},
        attn_implementation="sdpa",
        local_files_only=True,
    )


def _stretched(folder: Path, factor: float) -> Any:
    """The model's config with static YaRN. Raises LoadFailure where it has another scaling."""
    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
    rope = config.get_text_config().rope_parameters
    if rope.get("rope_type", "default") not in ("default", "yarn"):
        raise LoadFailure(
            "load_failed",
            f"This model's positions are already scaled ({rope['rope_type']}); its context "
            "cannot be stretched. Choose a shorter context length.",
        )
    text = config.get_text_config()
    # Models are trained on lengths that are powers of two; some configs add room for the answer
    # (Qwen3 says 40,960 and means 32,768).
    trained = 1 << (text.max_position_embeddings.bit_length() - 1)
    text.rope_parameters = {
        "rope_theta": rope["rope_theta"],
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": trained,
    }
    text.max_position_embeddings = int(trained * factor)
    return config


def _dtype(precision: Precision, device: str) -> torch.dtype:
    """What is not quantised, and what is computed in. A CPU is fastest, and exact, in fp32."""
    if precision in _DTYPES:
        return _DTYPES[precision]
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _quantisation(precision: Precision, device: str) -> BitsAndBytesConfig | None:
    if precision == "int8":
        # Threshold 0: the outlier path costs half the speed on large batches.
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    if precision == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_dtype(precision, device),
        )
    return None


def dequantise_gguf(gguf: Path, folder: Path) -> Path:
    """The model of a GGUF file as safetensors in `folder`: 16 bits, or 32 on a CPU.

    Written once a file, because reading GGUF takes ten times as long as reading the result.
    """
    if folder.is_dir():
        return folder
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=_dtype("gguf", best_device())
    )
    # What was dequantised is no longer quantised, and save_pretrained refuses to guess.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    return partial.rename(folder)
