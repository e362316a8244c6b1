"""What a decoder of the Llama family is made of, read off a loaded model.

SmolLM2, Qwen2.5 and Qwen3 differ in two things only: biases, which their linear layers carry, and
Qwen3's norms of queries and keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from appliance.engine.worker.backends.embeddings import EmbeddingsInRam

# What the loop of `steps` computes, and nothing more: other families scale, cap or window.
_FAMILY = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_SHRUNK = ("Linear8bitLt", "Linear4bit")
# Whose frequencies depend on nothing but the position.
_ROPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One layer. Norms are their weights, linear layers the model's own modules."""

    index: int
    before_attention: torch.Tensor
    query: nn.Module
    key: nn.Module
    value: nn.Module
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    out: nn.Module
    before_mlp: torch.Tensor
    gate: nn.Module
    up: nn.Module
    down: nn.Module


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """`heads` queries share `shared` keys, each of `size` numbers. `embeddings` may be in RAM; what
    is on the card for certain is `last_norm`."""

    embeddings: nn.Module
    rotary: nn.Module
    blocks: list[Block]
    last_norm: torch.Tensor
    head: nn.Module
    heads: int
    shared: int
    size: int
    scale: float
    epsilon: float

    def in_full(self) -> Iterator[torch.Tensor]:
        """Weights that nothing shrinks: norms, and those of layers in full."""
        yield self.last_norm
        for block in self.blocks:
            norms = (block.before_attention, block.query_norm, block.key_norm, block.before_mlp)
            yield from (norm for norm in norms if norm is not None)
        yield from (each.weight for each in self.linears() if type(each) is nn.Linear)

    def linears(self) -> Iterator[nn.Module]:
        yield self.head
        for block in self.blocks:
            yield from (block.query, block.key, block.value, block.out)
            yield from (block.gate, block.up, block.down)

    def with_following(self) -> Iterator[tuple[Block, torch.Tensor]]:
        """Each layer with the norm that comes after it."""
        norms = [block.before_attention for block in self.blocks[1:]]
        return zip(self.blocks, [*norms, self.last_norm], strict=True)


def read(model: Any) -> Decoder | None:
    """None: the model is of another family, or something in it is not as it was published."""
    config: Any = model.config
    if type(model).__name__ not in _FAMILY or config.hidden_act != "silu":
        return None
    if config.rope_parameters.get("rope_type", "default") not in _ROPES:
        return None
    inner: Any = model.model
    blocks = [_block(index, layer) for index, layer in enumerate(inner.layers)]
    attention = inner.layers[0].self_attn
    decoder = Decoder(
        embeddings=inner.embed_tokens,
        rotary=inner.rotary_emb,
        blocks=blocks,
        last_norm=inner.norm.weight,
        head=model.lm_head,
        heads=config.num_attention_heads,
        shared=config.num_key_value_heads,
        size=attention.head_dim,
        scale=attention.scaling,
        epsilon=config.rms_norm_eps,
    )
    plain = all(_is_plain(linear) for linear in decoder.linears())
    known = type(inner.embed_tokens) in (nn.Embedding, EmbeddingsInRam)
    return decoder if plain and known else None


def _is_plain(layer: nn.Module) -> bool:
    """An adapter's layers are called `Linear` as well."""
    kind = type(layer)
    shrunk = kind.__name__ in _SHRUNK and kind.__module__.startswith("bitsandbytes.")
    return kind is nn.Linear or shrunk


def _block(index: int, layer: Any) -> Block:
    attention, mlp = layer.self_attn, layer.mlp
    query_norm, key_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    return Block(
        index=index,
        before_attention=layer.input_layernorm.weight,
        query=attention.q_proj,
        key=attention.k_proj,
        value=attention.v_proj,
        query_norm=query_norm and query_norm.weight,
        key_norm=key_norm and key_norm.weight,
        out=attention.o_proj,
        before_mlp=layer.post_attention_layernorm.weight,
        gate=mlp.gate_proj,
        up=mlp.up_proj,
        down=mlp.down_proj,
    )
