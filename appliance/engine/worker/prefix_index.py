"""Which beginnings of prompts a KV cache of shared blocks still holds, by our own count.

It knows token ids and block sizes, and no library: it stands beside one that does not tell. The
count is an estimate: the library also drops blocks that running answers need for themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence


class PrefixIndex:
    """Full blocks by the hash of everything up to their end, the least recently used one first.

    `block_tokens` is the size of a block, `capacity` the number of blocks that the cache has.
    """

    def __init__(self, block_tokens: int, capacity: int) -> None:
        self._block_tokens = block_tokens
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def chain(self, tokens: Sequence[int], before: Sequence[int] = ()) -> list[int]:
        """One hash a full block. With the chain of an earlier part `before`, that part's too;
        `tokens` then begins where its last full block ends."""
        return [*before, *self._links(tokens, before[-1] if before else 0)]

    def _links(self, tokens: Sequence[int], link: int) -> Iterator[int]:
        size = self._block_tokens
        for end in range(size, len(tokens) + 1, size):
            link = hash((link, tuple(tokens[end - size : end])))
            yield link

    def known(self, chain: Sequence[int]) -> int:
        """Tokens at the beginning that are in the cache: a multiple of the block size."""
        blocks = 0
        for link in chain:
            if link not in self._blocks:
                break
            blocks += 1
        return blocks * self._block_tokens

    def remember(self, chain: Sequence[int]) -> None:
        """These blocks were computed or used just now."""
        for link in chain:
            self._blocks[link] = None
            self._blocks.move_to_end(link)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)

    def forget(self, chain: Sequence[int]) -> None:
        """The cache turned out not to hold these."""
        for link in chain:
            self._blocks.pop(link, None)
