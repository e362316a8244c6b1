"""OpenVINO GenAI's pipeline and its words: how a model is opened, and how a request is written."""

from __future__ import annotations

import platform
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openvino
import openvino_genai as genai

from appliance.engine.worker.backends.base import Ask
from appliance.engine.worker.backends.openvino_conversion import MODEL, WORDS
from appliance.engine.worker.backends.openvino_forms import FormCompiler, structured

# Tokens of prompts that a step reads: no fewer are read as fast, and more are no faster on a CPU.
TOKENS_PER_STEP = 128
KV_BLOCK_TOKENS = 32  # fixed by the library's CPU plug-in
_LARGEST_MIN_P = 1 - 2**-24  # the library wants less than 1


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """`forms` is None for a model that lies there without its tokenizer."""

    pipeline: genai.ContinuousBatchingPipeline
    forms: FormCompiler | None
    kv_blocks: int


def open_pipeline(
    model: Path,
    *,
    kv_tokens: int,
    max_concurrency: int,
    threads: int | None,
) -> OpenedModel:
    """Load a GGUF file, or a folder with `openvino_model.xml`. Blocks for seconds to minutes."""
    scheduler = genai.SchedulerConfig()
    # Every running request wastes part of its last block.
    scheduler.num_kv_blocks = -(-kv_tokens // KV_BLOCK_TOKENS) + max_concurrency
    # Running answers come first, so that a piece of a prompt always fits into one step.
    scheduler.max_num_batched_tokens = TOKENS_PER_STEP + max_concurrency
    scheduler.max_num_seqs = max_concurrency
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = True
    properties: dict[str, Any] = numbers()
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    if model.is_file() or (model / WORDS).is_file():
        tokenizer = genai.Tokenizer(str(model))
        pipeline = genai.ContinuousBatchingPipeline(
            str(model), tokenizer, scheduler, "CPU", **properties
        )
        forms = FormCompiler(tokenizer, _vocabulary(model, tokenizer))
    else:
        pipeline = genai.ContinuousBatchingPipeline(str(model), scheduler, "CPU", properties)
        forms = None
    return OpenedModel(pipeline, forms, scheduler.num_kv_blocks)


def numbers() -> dict[str, str]:
    """How the processor's plug-in computes. Left alone it takes bfloat16 where the processor has
    it and keeps keys and values in 8 bits. Plain 32 bits with 16 in the cache, which is what the
    plan counts, are faster and more exact (decision 0008), unless there are units for bfloat16
    matrices (AMX); and they were measured on x86 alone."""
    if platform.machine().lower() not in ("x86_64", "amd64") or has_matrix_units():
        return {}
    return {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16"}


def has_matrix_units(flags: Path = Path("/proc/cpuinfo")) -> bool:
    """AMX, which servers have. Only Linux says so in a file, and only there are servers likely."""
    try:
        return "amx_tile" in flags.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _vocabulary(model: Path, tokenizer: genai.Tokenizer) -> int:
    """How many logits the model has: some models have more than words."""
    file = model / MODEL
    if not file.is_file():
        return len(tokenizer.get_vocab())
    logits = openvino.Core().read_model(file).output(0).get_partial_shape()
    return int(logits[2].get_length())


def seeded(ask: Ask) -> Ask:
    """With a seed, so that it can be said again. The library's own is always the same, and so would
    be every answer."""
    if ask.sampling.seed is not None:
        return ask
    return replace(ask, sampling=replace(ask.sampling, seed=secrets.randbits(63)))


def generation_config(ask: Ask, end_tokens: set[int]) -> genai.GenerationConfig:
    """What one stream asks, in the library's words; `ask` is seeded."""
    sampling = ask.sampling
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens = ask.max_tokens
    _set_end(config, end_tokens)
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    config.repetition_penalty = sampling.repetition_penalty
    # Of the chosen token, before any of these parameters; more than one the library cannot.
    config.logprobs = 0 if ask.top_logprobs is None else 1
    if ask.form is not None:
        config.structured_output_config = structured(ask.form)
    config.do_sample = not sampling.greedy
    if config.do_sample:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        config.min_p = min(sampling.min_p, _LARGEST_MIN_P)
        if sampling.top_k:
            config.top_k = sampling.top_k
        config.rng_seed = (sampling.seed or 0) % 2**64
    return config


def piece_config() -> genai.GenerationConfig:
    """For a piece of a prompt: one token, which nobody reads."""
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens = 1
    _set_end(config, set())
    return config


def _set_end(config: genai.GenerationConfig, end_tokens: set[int]) -> None:
    """Left open, the library takes the end token of the model's tokenizer: none, where there is
    no tokenizer, which it then refuses."""
    config.stop_token_ids = end_tokens or {0}
    config.eos_token_id = min(config.stop_token_ids)
    config.ignore_eos = not end_tokens
