"""The planner's memory arithmetic against the libraries that will take the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, Qwen3Config
from transformers.generation.continuous_batching.cache import PagedAttentionMemoryHandler

from appliance.engine.worker.backends.transformers import PAGE_TOKENS, batching_config
from appliance.fit.catalogue import load_catalogue
from appliance.fit.decision import Plan
from appliance.fit.hardware import GIB, MIB, Hardware
from appliance.fit.plan import plan
from appliance.fit.wish import EngineWish, Wish
from appliance.fit.workspace import BLOCK_TOKENS
from tests.fit.machines import card, machine

CATALOGUE = load_catalogue()
TRASH_BLOCKS = 2
# Beside what the library counts: the CUDA context, its workspaces, one layer's activations.
BASE = {True: 896 * MIB, False: 256 * MIB}
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

cards = st.integers(4, 90).map(card)
contexts = st.none() | st.integers(1_024, 131_072)


def decide(hardware: Hardware, engine: EngineWish, context: int | None, places: int | None) -> Plan:
    wish = Wish(engine=engine, context_length=context, max_concurrency=places)
    return plan(hardware, wish, CATALOGUE, find_config=lambda _: None)


def library_footprint(chosen: Plan) -> int:
    """Bytes of the cache and of all that grows with it, by the library's own account."""
    assert chosen.entry is not None
    shape, on_card = chosen.entry.shape, chosen.gpu is not None
    kind: Any = Qwen3Config if shape.qk_norm else LlamaConfig
    config = kind(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocabulary,
        attn_implementation="paged|sdpa",
    )
    ordered = batching_config(
        chosen.kv_tokens, chosen.max_concurrency, "cuda" if on_card else "cpu"
    )
    ordered.max_blocks_per_request = 0
    ordered.max_memory_percent = 1.0
    block = shape.kv_bytes_per_token(4 if chosen.precision == "fp32" else 2) * ordered.page_size
    handler = PagedAttentionMemoryHandler(
        config=config,
        cb_config=ordered,
        dtype=TYPES.get(str(chosen.precision), torch.bfloat16),
        bytes_per_sector=block,
        tokens_per_sector=ordered.page_size,
        bytes_per_block=block,
        attn_types=["full_attention"],
        model_supports_logits_to_keep=True,
    )
    sectors = handler.num_sectors_from_config()
    assert sectors is not None
    assert ordered.max_batch_tokens is not None
    assert (sectors + TRASH_BLOCKS) * block <= chosen.kv_bytes
    return int(handler.compute_memory_footprint(ordered.max_batch_tokens, sectors))


@settings(max_examples=60)
@given(cards, contexts, st.none() | st.integers(1, 64))
def test_the_library_takes_no_more_of_a_card_than_was_planned(
    gpu: Any, context: int | None, places: int | None
) -> None:
    chosen = decide(machine(gpu), "transformers", context, places)
    planned = chosen.total_bytes - chosen.weight_bytes
    assert library_footprint(chosen) + BASE[chosen.gpu is not None] <= planned


@pytest.mark.parametrize("ram_gib", [3, 8, 24, 64])
def test_the_library_takes_no_more_of_the_ram_than_was_planned(ram_gib: int) -> None:
    chosen = decide(machine(ram_gib=ram_gib), "transformers", None, None)
    planned = chosen.total_bytes - chosen.weight_bytes
    assert library_footprint(chosen) + BASE[False] <= planned < 3 * GIB


def test_planner_and_engines_cut_the_cache_alike() -> None:
    from appliance.engine.worker.backends.openvino_pipeline import KV_BLOCK_TOKENS

    assert BLOCK_TOKENS >= PAGE_TOKENS
    assert BLOCK_TOKENS >= KV_BLOCK_TOKENS
