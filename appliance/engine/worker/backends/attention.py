"""Attention of every request over its own keys, inside transformers' continuous batching.

As the library comes, with scaled-dot-product attention, all requests of a step attend over
everybody's keys under one mask, so that its cost grows with the square of their number. Here each
attends to its own: with the flash attention that torch carries on a card, and on a CPU call by
call, where only those share a call for whom it is cheaper.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.generation.continuous_batching import PagedAttentionCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flash_attention_mask

log = logging.getLogger(__name__)

# The library builds no mask for a name with "flash" in it; with a 2 or 3 in it, it would want the
# package of that name.
NAME = "separate_flash"
_AMPERE = (8, 0)
_HALF = (torch.bfloat16, torch.float16)
# Pairs of a query and a key that cost as much time as one more call.
_PAIRS_A_CALL = 1500
_LIKENESS = 0.02  # of what two 16-bit kernels make of numbers around 1
# Queries [tokens, heads, size], keys and values [tokens, heads, size], where each request's begin
# and end among either, the longest of either, and the scale; like the queries.
Kernel = Callable[..., torch.Tensor]


def separate(model: Any) -> bool:
    """Let the model attend so, where that suits it and is known to be right here."""
    kernel = _kernel(model) if _is_plain(model.config.get_text_config()) else None
    if kernel is None:
        return False
    AttentionInterface.register(NAME, partial(_attend, kernel))
    AttentionMaskInterface.register(NAME, flash_attention_mask)
    # Its own setter would look for a package of that name.
    model.config._attn_implementation = NAME
    return True


def _is_plain(config: Any) -> bool:
    """No sliding windows and nothing between scores and softmax."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and not hasattr(config, "layer_types")
    capped = getattr(config, "attn_logit_softcapping", None)
    return kinds == {"full_attention"} and not windowed and not capped


def _kernel(model: Any) -> Kernel | None:
    if model.device.type == "cpu":
        return in_bundles
    if model.dtype not in _HALF or torch.cuda.get_device_capability(model.device) < _AMPERE:
        return None
    try:
        return _on_a_card if _agrees(_on_a_card, model.device, model.dtype) else None
    except Exception as error:  # whatever it is, the library's own attention works
        log.warning("torch's flash attention is not used: %s", error)
        return None


def _attend(
    kernel: Kernel,
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The library's signature: [1, heads, tokens, size] in, [1, tokens, heads, size] out."""
    cache = options.pop("cache", None)
    if not isinstance(cache, PagedAttentionCache):
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return found
    key, value = cache.update(key, value, module.layer_idx, options)
    ends = (options["cu_seq_lens_q"], options["cu_seq_lens_k"])
    longest = (options["max_length_q"], options["max_length_k"])
    parts = [each[0].transpose(0, 1) for each in (query, key, value)]
    return kernel(*parts, *ends, *longest, options.get("scaling"))[None], None


def _on_a_card(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends_q: torch.Tensor,
    ends_k: torch.Tensor,
    longest_q: int,
    longest_k: int,
    scale: float | None,
) -> torch.Tensor:
    if query.dtype not in _HALF:  # a layer that was kept in fp32
        return in_bundles(query, key, value, ends_q, ends_k, longest_q, longest_k, scale)
    from torch.nn.attention.varlen import varlen_attn

    found: torch.Tensor = varlen_attn(
        query,
        key,
        value,
        ends_q,
        ends_k,
        longest_q,
        longest_k,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=True,
    )
    return found


def in_bundles(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends_q: torch.Tensor,
    ends_k: torch.Tensor,
    longest_q: int,
    longest_k: int,
    scale: float | None,
) -> torch.Tensor:
    """One bundle after the other. Heads that share keys stand below each other, so that no key has
    to be repeated."""
    heads, shared = query.shape[1], key.shape[1]
    groups = heads // shared
    found = torch.empty_like(query, memory_format=torch.contiguous_format)
    for each in _bundles(tuple(ends_q.tolist()), tuple(ends_k.tolist()), groups, query.device):
        count = each.end - each.begin
        asking = query[each.begin : each.end].transpose(0, 1)
        answer = scaled_dot_product_attention(
            asking.reshape(1, shared, groups * count, -1),
            key[each.first : each.last].transpose(0, 1)[None],
            value[each.first : each.last].transpose(0, 1)[None],
            attn_mask=each.mask,
            scale=scale,
        )
        found[each.begin : each.end] = answer.reshape(heads, count, -1).transpose(0, 1)
    return found


@dataclass(frozen=True, slots=True)
class Bundle:
    """Neighbours that are computed in one call: queries `begin` to `end`, keys `first` to `last`.
    `mask` keeps them apart; None: a single query that may see all of its keys."""

    begin: int
    end: int
    first: int
    last: int
    mask: torch.Tensor | None


@lru_cache(maxsize=2)
def _bundles(
    ends_q: tuple[int, ...], ends_k: tuple[int, ...], groups: int, device: torch.device
) -> list[Bundle]:
    """Once a step, for all of its layers."""
    found, start = [], 0
    for stop in range(1, len(ends_q)):
        if stop + 1 < len(ends_q) and _is_worth_it(ends_q, ends_k, start, stop + 1):
            continue
        mask = _mask(ends_q[start : stop + 1], ends_k[start : stop + 1], groups, device)
        found.append(Bundle(ends_q[start], ends_q[stop], ends_k[start], ends_k[stop], mask))
        start = stop
    return found


def _is_worth_it(ends_q: Sequence[int], ends_k: Sequence[int], start: int, stop: int) -> bool:
    """Whether requests `start` to `stop` take less time together than in calls of their own."""
    pairs = (ends_q[stop] - ends_q[start]) * (ends_k[stop] - ends_k[start])
    own = sum(
        (ends_q[at + 1] - ends_q[at]) * (ends_k[at + 1] - ends_k[at]) for at in range(start, stop)
    )
    return pairs - own <= _PAIRS_A_CALL * (stop - start - 1)


def _mask(
    ends_q: Sequence[int], ends_k: Sequence[int], groups: int, device: torch.device
) -> torch.Tensor | None:
    """Each token sees its request's keys up to itself; once for all heads of a group."""
    rows, columns = ends_q[-1] - ends_q[0], ends_k[-1] - ends_k[0]
    if rows == 1:
        return None
    seen = torch.zeros(rows, columns, dtype=torch.bool, device=device)
    for (begin, end), (first, last) in zip(pairwise(ends_q), pairwise(ends_k), strict=True):
        own = seen[begin - ends_q[0] : end - ends_q[0], first - ends_k[0] : last - ends_k[0]]
        own.fill_(True).tril_((last - first) - (end - begin))
    return seen.repeat(groups, 1)


def _agrees(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether it computes on this very card what it should: a running answer, a prompt that goes on
    and one that begins, with heads that share keys."""
    generator = torch.Generator().manual_seed(0)
    ends_q, ends_k = ([0, 1, 8, 28], [0, 70, 170, 190])
    queries, keys = ends_q[-1], ends_k[-1]
    shapes = ((queries, 8, 128), (keys, 2, 128), (keys, 2, 128))
    parts = [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]
    ends = [torch.tensor(each, dtype=torch.int32, device=device) for each in (ends_q, ends_k)]
    kernels: tuple[Kernel, Kernel] = (kernel, in_bundles)
    found, expected = (one(*parts, *ends, 20, 100, None).float() for one in kernels)
    right = bool(torch.allclose(found, expected, atol=_LIKENESS, rtol=_LIKENESS))
    if not right:
        log.warning("torch's flash attention is not used: it computes something else here")
    return right
