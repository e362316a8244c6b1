"""The size of a decoder-only transformer, worked out from its shape instead of typed by hand.

Everything here is exact arithmetic over a model's public `config.json`: how many parameters,
how many bytes in each precision, how many bytes of KV cache for one token.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.engine.config import Precision

NF4_BLOCK = 64
NF4_SECOND_BLOCK = 256
FP8_BLOCK = 128 * 128
AWQ_GROUP = 128

LABELS: dict[Precision, str] = {
    "bf16": "16-bit (bf16)",
    "fp16": "16-bit (fp16)",
    "fp32": "32-bit",
    "int8": "int8",
    "nf4": "nf4",
    "gguf": "GGUF",
    "fp8": "fp8",
    "awq": "4-bit AWQ",
}
"""What people call the precisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A dense decoder with grouped-query attention and a gated feed-forward (Llama, Qwen…).

    `kv_layers` is the number of layers that keep a KV cache, when that is not all of them.
    """

    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied_embeddings: bool
    qk_norm: bool = False
    kv_layers: int | None = None

    @property
    def linear_parameters(self) -> int:
        """Weights inside the layers' matrices: the part that quantisation shrinks."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.ffn)

    @property
    def other_parameters(self) -> int:
        """Embeddings, output head and norms: always 16-bit or wider."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        return embeddings + self.layers * norms + self.hidden

    @property
    def table_bytes(self) -> int:
        """Of the input embeddings, always in 16 bits, where the output head does not share them."""
        return 0 if self.tied_embeddings else 2 * self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        return self.linear_parameters + self.other_parameters

    def weight_bytes(self, precision: Precision) -> int:
        """Bytes of the loaded weights. A GGUF file's precision is its own: ask its size.

        Raises ValueError for "gguf".
        """
        match precision:
            case "fp32":
                return 4 * self.parameters
            case "bf16" | "fp16":
                return 2 * self.parameters
            case "int8":
                return self.linear_parameters + self._int8_scales() + 2 * self.other_parameters
            case "nf4":
                return self._nf4_linear() + 2 * self.other_parameters
            case "fp8":
                scales = 4 * -(-self.linear_parameters // FP8_BLOCK)
                return self.linear_parameters + scales + 2 * self.other_parameters
            case "awq":
                # Half a byte a weight; one 16-bit scale and one 4-bit zero point a group.
                groups = -(-self.linear_parameters // AWQ_GROUP)
                return -(-(self.linear_parameters + 5 * groups) // 2) + 2 * self.other_parameters
            case _:
                raise ValueError(f"the size in {precision} does not follow from the shape")

    def kv_bytes_per_token(self, element_bytes: int = 2) -> int:
        """Keys and values of one token in all layers that cache them."""
        layers = self.layers if self.kv_layers is None else self.kv_layers
        return 2 * layers * self.kv_heads * self.head_dim * element_bytes

    def _int8_scales(self) -> int:
        """bitsandbytes keeps one float32 scale for each output row of a matrix."""
        rows = self.head_dim * (self.heads + 2 * self.kv_heads) + 2 * self.hidden + 2 * self.ffn
        return 4 * self.layers * rows

    def _nf4_linear(self) -> int:
        """Half a byte a weight, one 8-bit scale a block, one float32 for each 256 scales."""
        blocks = -(-self.linear_parameters // NF4_BLOCK)
        return self.linear_parameters // 2 + blocks + 4 * -(-blocks // NF4_SECOND_BLOCK)
