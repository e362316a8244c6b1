"""What the engines' KV caches take beside the tokens that are promised. Arithmetic alone.

A request fills whole blocks, so each running one may waste most of a block, and the engines keep
some blocks for themselves. transformers' attention also copies the keys and values that a step
reads, and masks them; `tests/engine/worker/test_memory.py` holds this against the library's own
account.
"""

from __future__ import annotations

from appliance.engine.config import Precision
from appliance.engine.memory import attention_bytes
from appliance.fit.shape import Shape

BLOCK_TOKENS = 32
"""The block size of both engines of ours."""
_TRASH_BLOCKS = 2
"""transformers writes padding into two blocks that no request gets."""
_VLLM_SPARE_TOKENS = 128
"""vLLM's null block, which is largest on a CPU."""
_STEP_TOKENS_CARD = 1024
_STEP_TOKENS_CPU = 128
# Of each logit while it is sampled: as it comes, as a 32-bit number, and what is drawn from.
_LOGIT_BYTES = 16


def spare_tokens(engine: str, places: int) -> int:
    """Tokens of cache that have to be there and cannot be promised to anybody."""
    if engine == "vllm":
        return _VLLM_SPARE_TOKENS
    trash = _TRASH_BLOCKS if engine == "transformers" else 0
    return (places + trash) * BLOCK_TOKENS


def workspace_bytes(
    engine: str, shape: Shape, element_bytes: int, places: int, *, on_card: bool
) -> int:
    """Bytes that an engine's largest step takes for each token of the KV cache.

    OpenVINO and vLLM read their caches in place.
    """
    if engine != "transformers":
        return 0
    step = (_STEP_TOKENS_CARD if on_card else _STEP_TOKENS_CPU) + places
    return attention_bytes(shape.heads, shape.kv_heads, shape.head_dim, element_bytes, step)


def step_bytes(shape: Shape, precision: Precision, places: int) -> int:
    """Bytes that the largest step of our engine takes on a card, however full the cache is: what a
    layer makes of a piece of a prompt, or the logits of all places."""
    layer = _STEP_TOKENS_CARD * (3 * shape.ffn + 4 * shape.hidden) * 2
    if precision == "int8":  # the product in whole numbers, and the input in another type
        layer += _STEP_TOKENS_CARD * shape.ffn * (4 + 2)
    if precision == "nf4":  # one matrix, unpacked
        layer += shape.ffn * shape.hidden * 2
    return max(layer, places * shape.vocabulary * _LOGIT_BYTES)
