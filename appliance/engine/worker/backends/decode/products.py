"""Linear layers for a few rows on a card: weights of 16, 8 or 4 bits read once, layers that share
an input in one launch.

cuBLAS is as good from nine rows on with 16 bits; bitsandbytes' own products read its weights
several times over, or in five launches, so ours take its layers up to 32 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from appliance.engine.worker.backends.decode.nvrtc import compiled

_SOURCE = Path(__file__).with_name("products.cu")
_AMPERE = (8, 0)
_MOST_ROWS = {16: 8, 8: 32, 4: 32}
_TILES = (1, 2, 4)
_TILE_ROWS = 8
_THREADS = 256
# Features a block takes, and inputs a warp; nf4 has a scale for as many.
_FEATURES, _CHUNK = 16, 64


@dataclass(frozen=True, slots=True)
class Group:
    """Layers with one input. `table` is what the kernels read of them: see `struct Layer`."""

    bits: int
    features: list[int]
    inputs: int
    table: torch.Tensor
    # What the table points to has to live as long.
    parts: list[torch.Tensor | None]


class Products:
    """`project` takes our kernels where they are faster, else the layers themselves."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        capable = torch.cuda.get_device_capability(device) >= _AMPERE
        self._ours = capable and dtype == torch.bfloat16
        self._kernels: dict[int, Any] = {}
        self._groups: dict[tuple[nn.Module, ...], Group | None] = {}

    def project(self, hidden: torch.Tensor, layers: tuple[nn.Module, ...]) -> list[torch.Tensor]:
        group = self._group(layers) if self._ours else None
        if group is None or len(hidden) > _MOST_ROWS[group.bits]:
            return [layer(hidden) for layer in layers]
        rows, features = len(hidden), sum(group.features)
        out = torch.empty(rows * features, dtype=hidden.dtype, device=hidden.device)
        tiles = next(tiles for tiles in _TILES if rows <= tiles * _TILE_ROWS)
        self._kernels[group.bits][f"product_{tiles}"](
            grid=(features // _FEATURES, 1, 1),
            block=(_THREADS, 1, 1),
            args=[group.table, len(layers), hidden, out, rows, group.inputs],
        )
        parts = out.split([rows * count for count in group.features])
        return [part.view(rows, -1) for part in parts]

    def _group(self, layers: tuple[nn.Module, ...]) -> Group | None:
        if layers not in self._groups:
            self._groups[layers] = group = _read(layers, self._device)
            if group is not None and group.bits not in self._kernels:
                most = _MOST_ROWS[group.bits]
                names = [f"product_{n}" for n in _TILES if n * _TILE_ROWS <= most]
                source = _SOURCE.read_text(encoding="utf-8")
                self._kernels[group.bits] = compiled(
                    source, names, {"BITS": group.bits}, self._device
                )
        return self._groups[layers]


def _read(layers: tuple[Any, ...], device: torch.device) -> Group | None:
    """None: the kernels do not know such weights or shapes."""
    found = [_weights(layer) for layer in layers]
    bits = {bits for bits, *_ in found}
    shapes: list[tuple[int, int]] = [(each.out_features, each.in_features) for each in layers]
    fitting = all(not (n % _FEATURES or k % _CHUNK) for n, k in shapes)
    if len(bits) != 1 or 0 in bits or not fitting:
        return None
    rows, parts, before = [], [], 0
    for (_, *tensors), layer, (features, _) in zip(found, layers, shapes, strict=True):
        tensors.append(_bias(layer))
        rows.append([*(0 if t is None else t.data_ptr() for t in tensors), features, before])
        parts += tensors
        before += features
    table = torch.tensor(rows, dtype=torch.int64, device=device)
    return Group(bits.pop(), [n for n, _ in shapes], shapes[0][1], table, parts)


def _weights(layer: Any) -> tuple[int, *tuple[torch.Tensor | None, ...]]:
    """Bits (0: unknown), then weights, scales, and of nf4 what scales are made of."""
    kind = type(layer).__name__
    if kind == "Linear8bitLt":
        state, weight = layer.state, layer.weight
        # It moves them from one to the other at its first use.
        values = weight.data if state.CB is None else state.CB
        scales = weight.SCB if state.SCB is None else state.SCB
        return 8, values, scales, None, None, None, None
    if kind == "Linear4bit":
        return _nf4(layer.weight)
    dense = kind == "Linear" and layer.weight.dtype == torch.bfloat16
    return (16 if dense else 0), layer.weight, None, None, None, None, None


def _nf4(weight: Any) -> tuple[int, *tuple[torch.Tensor | None, ...]]:
    state = weight.quant_state
    known = state.quant_type == "nf4" and state.blocksize == _CHUNK and state.nested
    if not known or state.state2.blocksize != 256:
        return (0, *(None,) * 6)
    nested = (state.state2.code, state.state2.absmax, state.offset)
    return 4, weight.data, state.absmax, *nested, state.code


def _bias(layer: Any) -> torch.Tensor | None:
    return None if layer.bias is None else layer.bias.to(torch.bfloat16).contiguous()
