"""OpenVINO GenAI's pipeline and its words: how a model is opened, and how a request is written."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import openvino_genai as genai

from appliance.engine.worker.backends.base import Ask

# Tokens of one step. A long prompt is read in pieces of this size, and running answers stall for
# one piece: 128 keeps the stall far below 512's and reads a prompt no slower (bench/worker.py).
TOKENS_PER_STEP = 128
KV_BLOCK_TOKENS = 32  # fixed by the library's CPU plug-in
_LARGEST_MIN_P = 1 - 2**-24  # the library wants less than 1


def open_pipeline(
    model: Path,
    *,
    kv_tokens: int,
    max_concurrency: int,
    threads: int | None,
    save_converted: bool = False,
) -> genai.ContinuousBatchingPipeline:
    """Load a GGUF file, or a folder with `openvino_model.xml`. Blocks for seconds to minutes.

    `save_converted` writes the folder's two files beside a GGUF file, which load much faster.
    """
    scheduler = genai.SchedulerConfig()
    # Every running request wastes part of its last block.
    scheduler.num_kv_blocks = -(-kv_tokens // KV_BLOCK_TOKENS) + max_concurrency
    scheduler.max_num_batched_tokens = max(TOKENS_PER_STEP, 2 * max_concurrency)
    scheduler.max_num_seqs = max_concurrency
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = True
    properties: dict[str, Any] = {}
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    if save_converted:
        properties["enable_save_ov_model"] = True
    return genai.ContinuousBatchingPipeline(str(model), scheduler, "CPU", properties)


def generation_config(ask: Ask, end_tokens: set[int]) -> genai.GenerationConfig:
    """What one stream asks, in the library's words."""
    sampling = ask.sampling
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens = ask.max_tokens
    config.stop_token_ids = end_tokens
    config.eos_token_id = min(end_tokens, default=-1)
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    config.repetition_penalty = sampling.repetition_penalty
    config.do_sample = not sampling.greedy
    if config.do_sample:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        config.min_p = min(sampling.min_p, _LARGEST_MIN_P)
        if sampling.top_k:
            config.top_k = sampling.top_k
        # The library's own default is always the same seed, so always the same answer.
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        config.rng_seed = seed % 2**64
    return config
