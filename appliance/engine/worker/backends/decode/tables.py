"""What the graphs of a card read of a step: filled here on the host, and sent in one piece.

The library would send each of its seven tables by itself and wait every time, which takes as long
as a tenth of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.generation.continuous_batching.requests import TMP_TOKEN_ID

from appliance.engine.worker.backends.embeddings import EmbeddingsInRam

_TOKENS, _POSITIONS, _WANTED = range(3)


class Tables:
    """Of at most `rows` requests with at most `pages` pages each.

    On the device, int32: `tokens`, `positions` and `wanted` [rows], `pages` [rows, pages]. Rows
    beyond those of the step stand at position 0 of the page `unread`, which nobody reads.

    `hidden` [rows, width] are the tokens' embeddings where their table is in RAM, otherwise None.
    """

    def __init__(
        self,
        allocator: Any,
        rows: int,
        pages: int,
        device: torch.device,
        in_ram: EmbeddingsInRam | None = None,
    ) -> None:
        self._allocator = allocator
        page_tokens: int = allocator.tokens_per_page
        self._stride = allocator.block_physical_stride // page_tokens
        self.unread = allocator.write_trash_index // page_tokens
        pinned = device.type == "cuda"
        whole: dict[str, Any] = {"dtype": torch.int32, "pin_memory": pinned}
        self._lines = torch.zeros((3, rows), **whole)
        self._pages = torch.full((rows, pages), self.unread, **whole)
        self._line_values, self._page_values = self._lines.numpy(), self._pages.numpy()
        self._lines_there, self.pages = self._lines.to(device), self._pages.to(device)
        self.tokens, self.positions, self.wanted = self._lines_there
        self._in_ram, self.hidden = in_ram, None
        if in_ram is not None:
            kind, width = in_ram.weight.dtype, in_ram.weight.shape[1]
            self._hidden = torch.zeros((rows, width), dtype=kind, pin_memory=pinned)
            self.hidden = self._hidden.to(device)
        # The blocks that each row's pages were made of; None: the row is not in use.
        self._held: list[list[int] | None] = [None] * rows
        self.rows = self.asked = 0

    def embedded(self, rows: int, embeddings: nn.Module) -> torch.Tensor:
        """Of the first rows, [rows, width], to be changed by whoever gets it."""
        if self.hidden is None:
            found: torch.Tensor = embeddings(self.tokens[:rows])
            return found
        return self.hidden[:rows].clone()  # rows that are not in use would grow for ever

    def fill(self, requests: Sequence[Any]) -> None:
        """One token of each request, which is moved behind it as the library would."""
        lines, changed = self._line_values, []
        asked = 0
        for row, request in enumerate(requests):
            state = request.state
            lines[_TOKENS, row] = state.tokens_to_process[0]
            lines[_POSITIONS, row] = state.position_offset
            state.position_offset += 1
            if self._hold(row, self._allocator.block_table[state.request_id]):
                changed.append(row)
            if request.has_new_token:
                lines[_WANTED, asked] = row
                state.tokens_to_process = [TMP_TOKEN_ID]
                asked += 1
        changed += self._let_go(len(requests))
        lines[_WANTED, asked:] = 0
        self.rows, self.asked = len(requests), asked
        self._lines_there.copy_(self._lines, non_blocking=True)
        if self._in_ram is not None and self.hidden is not None:
            used = slice(0, self.rows)
            self._in_ram.look_up(self._lines[_TOKENS, used], self._hidden[used])
            self.hidden[used].copy_(self._hidden[used], non_blocking=True)
        if changed:
            some = slice(changed[0], changed[-1] + 1)
            self.pages[some].copy_(self._pages[some], non_blocking=True)

    def _hold(self, row: int, blocks: list[int]) -> bool:
        """Whether the row's pages changed: one was added, or the library found its like."""
        if self._held[row] == blocks:
            return False
        self._held[row] = list(blocks)
        self._page_values[row, : len(blocks)] = [block * self._stride for block in blocks]
        return True

    def _let_go(self, rows: int) -> list[int]:
        """Of the rows that are no longer in use; which they were."""
        gone = [row for row in range(rows, self.rows) if self._held[row] is not None]
        for row in gone:
            self._held[row] = None
            self._page_values[row, 0] = self.unread
            self._line_values[:_WANTED, row] = 0
        return gone
