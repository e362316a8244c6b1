"""Our count of cached prefixes against a naive model of one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.worker.prefix_index import PrefixIndex

BLOCK = 2
# Few tokens and short prompts, so that prompts share beginnings.
prompts = st.lists(st.lists(st.integers(0, 1), max_size=9), max_size=30)


class NaiveIndex:
    """Whole prefixes in the order of use."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used: list[tuple[int, ...]] = []

    def ends(self, tokens: list[int]) -> list[tuple[int, ...]]:
        return [tuple(tokens[:end]) for end in range(BLOCK, len(tokens) + 1, BLOCK)]

    def remember(self, tokens: list[int]) -> None:
        for prefix in self.ends(tokens):
            self.used = [*(each for each in self.used if each != prefix), prefix]
        self.used = self.used[-self.capacity :]

    def known(self, tokens: list[int]) -> int:
        known = 0
        for prefix in self.ends(tokens):
            if prefix not in self.used:
                break
            known = len(prefix)
        return known


@settings(max_examples=200)
@given(prompts, st.integers(1, 8))
def test_counts_as_the_naive_model_does(seen: list[list[int]], capacity: int) -> None:
    index, naive = PrefixIndex(BLOCK, capacity), NaiveIndex(capacity)
    for prompt in seen:
        assert index.known(index.chain(prompt)) == naive.known(prompt)
        index.remember(index.chain(prompt))
        naive.remember(prompt)


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 12))
def test_chain_may_be_continued(tokens: list[int], cut: int) -> None:
    index = PrefixIndex(BLOCK, 8)
    before = index.chain(tokens[:cut])
    assert index.chain(tokens[len(before) * BLOCK :], before) == index.chain(tokens)


def test_forgotten_block_hides_those_behind_it() -> None:
    index = PrefixIndex(BLOCK, 8)
    chain = index.chain([1, 2, 3, 4, 5, 6])
    index.remember(chain)
    index.forget(chain[1:2])
    assert index.known(chain) == BLOCK
