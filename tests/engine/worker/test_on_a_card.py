"""What only a card can run: our kernels beside plain arithmetic, and whole answers beside the
library's. Skipped without a card."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch could not be had for this Python")

import torch
from torch import nn
from torch.nn.functional import silu
from transformers import Qwen3Config

import appliance.engine.worker.backends.transformers as backend_module
from appliance.engine.config import Precision
from appliance.engine.worker.backends.decode.on_card import Kernels, OnCard, Place
from appliance.engine.worker.backends.decode.products import Products
from appliance.engine.worker.backends.transformers import PAGE_TOKENS, TransformersBackend
from bench.random_model import random_model
from tests.engine.worker.playing import Player, ask

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card")

SHAPES = [  # width, heads, shared, size, type, whether queries and keys have norms
    pytest.param(4096, 32, 8, 128, torch.bfloat16, True, id="Qwen3-8B"),
    pytest.param(1024, 16, 8, 128, torch.float16, True, id="Qwen3-0.6B in half"),
    pytest.param(576, 9, 3, 64, torch.bfloat16, False, id="SmolLM2-135M"),
    pytest.param(5120, 64, 8, 128, torch.bfloat16, True, id="Qwen3-32B"),
]
LENGTHS = [[700], [1, 33, 900], [10 + 37 * row for row in range(32)], [5000]]
EPSILON = 1e-6


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def norm(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As the library computes it."""
    wide = values.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPSILON)
    return weight * wide.to(values.dtype)


# Of a head, in the test that runs: `rotary` is asked as the library's is.
SIZE = {"now": 0}


def rotary(weight: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    half = SIZE["now"] // 2
    frequencies = 1e4 ** -(torch.arange(half, device="cuda") / half)
    angles = (positions[..., None].float() * frequencies).repeat(1, 1, 2)
    return angles.cos().to(weight.dtype), angles.sin().to(weight.dtype)


def decoder_of(
    width: int, heads: int, shared: int, size: int, dtype: torch.dtype, normed: bool
) -> Any:
    SIZE["now"] = size
    scales = torch.rand(2, size, device="cuda", dtype=dtype) + 0.5
    norms = scales if normed else (None, None)
    block = SimpleNamespace(index=0, query_norm=norms[0], key_norm=norms[1])
    return SimpleNamespace(
        embeddings=nn.Embedding(8, width, device="cuda", dtype=dtype),
        rotary=rotary,
        blocks=[block],
        last_norm=torch.ones(width, device="cuda", dtype=dtype),
        heads=heads,
        shared=shared,
        size=size,
        scale=size**-0.5,
        epsilon=EPSILON,
    )


@cache
def kernels_of(
    width: int, heads: int, shared: int, size: int, dtype: torch.dtype, normed: bool
) -> Kernels:
    return Kernels(decoder_of(width, heads, shared, size, dtype, normed), PAGE_TOKENS)


@cache
def products() -> Products:
    return Products(torch.device("cuda"), torch.bfloat16)


def close(found: torch.Tensor, expected: torch.Tensor, share: float) -> bool:
    expected = expected.double()
    return float((found.double() - expected).norm() / expected.norm()) < share


@pytest.mark.parametrize("lengths", LENGTHS, ids=["one", "three", "many", "long"])
@pytest.mark.parametrize(("width", "heads", "shared", "size", "dtype", "normed"), SHAPES)
def test_attention_over_pages_is_what_its_definition_says(
    width: int,
    heads: int,
    shared: int,
    size: int,
    dtype: torch.dtype,
    normed: bool,
    lengths: list[int],
) -> None:
    torch.manual_seed(0)
    kernels, rows = kernels_of(width, heads, shared, size, dtype, normed), len(lengths)
    SIZE["now"] = size
    counts = [-(-length // PAGE_TOKENS) for length in lengths]
    pages = torch.zeros(rows, max(counts), dtype=torch.int32, device="cuda")
    free = torch.randperm(sum(counts) + 2, device="cuda").int()
    for row, count in enumerate(counts):
        pages[row, :count], free = free[:count], free[count:]
    keys = torch.randn(sum(counts) + 2, PAGE_TOKENS, shared, size, device="cuda", dtype=dtype)
    values = torch.randn_like(keys)
    allocator = SimpleNamespace(get_cache_for_block_table=lambda layer: (keys, values))
    positions = torch.tensor(lengths, dtype=torch.int32, device="cuda") - 1
    cache = SimpleNamespace(layer_to_allocator={0: allocator})
    operations = OnCard(kernels, Place(positions, pages, cache))
    query, key, value = (
        torch.randn(rows, count * size, device="cuda", dtype=dtype)
        for count in (heads, shared, shared)
    )
    [block] = kernels.decoder.blocks
    found = [operations.attend(block, query, key, value) for _ in range(2)]
    assert found[0].equal(found[1])  # what it counts with is as it was

    cosines, sines = (part[0][:, None] for part in rotary(query, positions[None]))
    asked, new = query.view(rows, heads, size), key.view(rows, shared, size)
    if normed:
        asked, new = norm(asked, block.query_norm), norm(new, block.key_norm)
    asked, new = (x * cosines + turned(x) * sines for x in (asked, new))
    for row, length in enumerate(lengths):
        own = pages[row, : counts[row]].long()
        seen, kept = (part[own].flatten(0, 1)[:length] for part in (keys, values))
        assert close(seen[-1], new[row], 0.01)
        assert kept[-1].flatten().equal(value[row])
        seen, kept = (x.double().repeat_interleave(heads // shared, 1) for x in (seen, kept))
        weights = (torch.einsum("hd,khd->hk", asked[row].double(), seen) * size**-0.5).softmax(1)
        expected = torch.einsum("hk,khd->hd", weights, kept).flatten()
        assert close(found[0][row], expected, 0.01)


def turned(values: torch.Tensor) -> torch.Tensor:
    left, right = values.chunk(2, dim=-1)
    return torch.cat((-right, left), dim=-1)


@pytest.mark.parametrize(("width", "heads", "shared", "size", "dtype", "normed"), SHAPES)
def test_norms_and_gates_round_as_the_library_does(
    width: int, heads: int, shared: int, size: int, dtype: torch.dtype, normed: bool
) -> None:
    torch.manual_seed(0)
    kernels, rows = kernels_of(width, heads, shared, size, dtype, normed), 5
    SIZE["now"] = size
    positions = torch.zeros(rows, dtype=torch.int32, device="cuda")
    pages = torch.zeros(rows, 1, dtype=torch.int32, device="cuda")
    operations = OnCard(kernels, Place(positions, pages, None))
    hidden, more = torch.randn(2, rows, width, device="cuda", dtype=dtype)
    weight, total = torch.rand(width, device="cuda", dtype=dtype), hidden + more
    assert close(operations.add_norm(hidden, more, weight), norm(total, weight), 1e-4)
    assert hidden.equal(total)
    gate, up = torch.randn(2, rows, 2 * width, device="cuda", dtype=dtype)
    assert close(operations.gated(gate, up), silu(gate) * up, 1e-3)


def linear(kind: str, inputs: int, features: int, bias: bool) -> Any:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weight = torch.randn(features, inputs) * 0.02
    layer: Any
    if kind == "bf16":
        layer = nn.Linear(inputs, features, bias=bias, dtype=torch.bfloat16)
        layer.weight.data = weight.bfloat16()
    elif kind == "int8":
        layer = bitsandbytes.nn.Linear8bitLt(
            inputs, features, bias=bias, has_fp16_weights=False, threshold=0.0
        )
        layer.weight = bitsandbytes.nn.Int8Params(
            weight.half(), requires_grad=False, has_fp16_weights=False
        )
    else:
        layer = bitsandbytes.nn.Linear4bit(
            inputs, features, bias=bias, quant_type="nf4", compute_dtype=torch.bfloat16
        )
        layer.weight = bitsandbytes.nn.Params4bit(
            weight.bfloat16(), requires_grad=False, quant_type="nf4"
        )
    return layer.cuda()


def exact(kind: str, layer: Any) -> torch.Tensor:
    """The weights that it keeps."""
    if kind == "bf16":
        found: torch.Tensor = layer.weight.double()
    elif kind == "int8":
        found = layer.state.CB.double() * layer.state.SCB.double()[:, None] / 127
    else:
        from bitsandbytes.functional import dequantize_4bit

        found = dequantize_4bit(layer.weight.data, layer.weight.quant_state).double()
    return found


@pytest.mark.parametrize("rows", [1, 3, 8, 9, 17, 32, 40])
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("kind", ["bf16", "int8", "nf4"])
def test_products_are_of_the_weights_that_are_kept(kind: str, bias: bool, rows: int) -> None:
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    torch.manual_seed(rows)
    layers = tuple(linear(kind, 576, features, bias) for features in (576, 192, 208))
    hidden = torch.randn(rows, 576, device="cuda", dtype=torch.bfloat16)
    for layer in layers:
        layer(hidden)
    for found, layer in zip(products().project(hidden, layers), layers, strict=True):
        expected = hidden.double() @ exact(kind, layer).T
        # bitsandbytes also rounds the rows to 8 bits, where there are too many for us.
        assert close(found, expected + (layer.bias.double() if bias else 0), 0.02)
        assert close(found, expected + (layer.bias.double() if bias else 0), 0.004) or rows > 32


CONFIG: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def played(model: Any, asks: list[Any], kv_tokens: int, *, short: bool) -> list[list[int]]:
    with pytest.MonkeyPatch.context() as patch:
        if not short:
            patch.setattr(backend_module, "kernels_for", lambda *_: None)
        forward = model.forward
        backend = TransformersBackend(model, [], kv_tokens=kv_tokens, max_concurrency=12)
        backend.warm_up()
    player = Player(backend)
    answers = player.play(*asks)
    player.close()
    model.forward = forward
    assert not player.fatal
    return [each.tokens for each in answers]


def crowd(tokens: int) -> list[Any]:
    kinds: list[dict[str, Any]] = [
        {},
        {"temperature": 0.8, "top_k": 20},
        {"temperature": 0.8, "top_p": 0.9, "presence_penalty": 0.5},
        {"temperature": 1.0, "min_p": 0.05},
    ]
    prompts = [
        [(7 * place + number) % 1000 for place in range(20 + number)] for number in range(12)
    ]
    return [
        ask(prompt, tokens, **kinds[number % 4], seed=number)
        for number, prompt in enumerate(prompts)
    ]


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_answers_are_the_librarys(precision: Precision) -> None:
    torch.manual_seed(0)
    model = random_model(Qwen3Config(**CONFIG), precision, "cuda")
    library = played(model, crowd(40), 4000, short=False)
    ours = played(model, crowd(40), 4000, short=True)
    assert all(len(tokens) == 40 for tokens in ours)
    if precision == "bf16":  # the others round less than bitsandbytes does
        assert sum(a == b for a, b in zip(library, ours, strict=True)) >= 10


def test_answers_in_a_small_cache_are_those_in_a_large_one() -> None:
    torch.manual_seed(0)
    model = random_model(Qwen3Config(**CONFIG), "bf16", "cuda")
    large = played(model, crowd(60), 4000, short=True)
    small = played(model, crowd(60), 300, short=True)
    assert all(len(tokens) == 60 for tokens in small)
    assert sum(a == b for a, b in zip(large, small, strict=True)) >= 8
