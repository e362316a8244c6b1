"""A look at some of the candidates of a selection, and how far everything is looked at then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """`ids` of requests that were not given by a look before.

    After it every request with an id from `further()` on has been looked at, with None none for
    sure; all there are when it is `over`.
    """

    ids: Sequence[str]
    further: Callable[[], str | None]
    over: bool
