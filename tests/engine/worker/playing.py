"""Plays asks to a backend in this process, without an engine, a server or a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.engine.worker.backends.base import (
    Ask,
    Backend,
    BackendFailed,
    Scored,
    TokenStream,
)
from appliance.engine.worker.forms import Form
from appliance.engine.worker.sampling import NEUTRAL


def ask(
    prompt: Sequence[int],
    max_tokens: int = 16,
    *,
    form: Form | None = None,
    top_logprobs: int | None = None,
    prompt_scores: bool = False,
    adapter: str | None = None,
    **sampling: Any,
) -> Ask:
    """Greedy unless `sampling` says otherwise."""
    return Ask(
        prompt=prompt,
        max_tokens=max_tokens,
        sampling=replace(NEUTRAL, **({"temperature": 0.0} | sampling)),
        form=form,
        top_logprobs=top_logprobs,
        prompt_scores=prompt_scores,
        adapter=adapter,
    )


@dataclass(slots=True)
class Played:
    tokens: list[int] = field(default_factory=list)
    scores: list[Scored] = field(default_factory=list)
    prompt_scores: Sequence[Scored] = ()
    finish: str | None = None
    cached_tokens: int = 0
    error: str | None = None


class Player:
    """A started backend and the event loop it talks to; `fatal` is what it died of."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.fatal: list[BaseException] = []
        self.loop = asyncio.new_event_loop()
        backend.start(self.loop, self.fatal.append)

    def play(self, *asks: Ask) -> list[Played]:
        """All at once; answers in the order of the asks."""
        return self.loop.run_until_complete(self._play(asks))

    async def _play(self, asks: Sequence[Ask]) -> list[Played]:
        streams = [TokenStream(each) for each in asks]
        for stream in streams:
            self.backend.submit(stream)
        return await asyncio.wait_for(asyncio.gather(*map(collect, streams)), 60)

    def close(self) -> None:
        self.backend.close()
        self.loop.close()


async def collect(stream: TokenStream) -> Played:
    played = Played()
    try:
        async for step in stream.steps():
            played.tokens += step.tokens
            played.scores += step.scores
            played.finish = step.finish_reason
            played.cached_tokens = stream.cached_tokens
            played.prompt_scores = stream.prompt_scores
    except BackendFailed as error:
        played.error = str(error)
    return played
