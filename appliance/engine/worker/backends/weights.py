"""Loads a model for transformers: 16-bit, or shrunk by bitsandbytes to int8 or nf4."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from appliance.engine.config import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(folder: Path, precision: Precision, threads: int | None) -> Any:
    """A model on the best device, with scaled-dot-product attention."""
    if threads:
        torch.set_num_threads(threads)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = best_device()
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=_dtype(precision, device),
        quantization_config=_quantisation(precision, device),
        device_map={"": device},
        attn_implementation="sdpa",
        local_files_only=True,
    )


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
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=True, llm_int8_threshold=0.0
        )
    if precision == "nf4":
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
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
