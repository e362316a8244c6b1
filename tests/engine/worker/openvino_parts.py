"""What the OpenVINO backend's tests share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from appliance.engine.worker.backends.base import Ask, Step, TokenStream
from appliance.engine.worker.backends.openvino import OpenVinoBackend
from appliance.engine.worker.sampling import TokenSampling

BOUND_SECONDS = 100
BLOCK = 32
END = [2]
KV_TOKENS = 1024
GREEDY = TokenSampling(temperature=0.0)


class Answer:
    """One stream that is read as it comes."""

    def __init__(self, backend: OpenVinoBackend, prompt: Sequence[int], **ask: Any) -> None:
        values: dict[str, Any] = {"max_tokens": 8, "sampling": GREEDY} | ask
        self.stream = TokenStream(Ask(prompt=prompt, **values))
        self.steps: list[Step] = []
        self._backend = backend
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> list[int]:
        self._backend.submit(self.stream)
        try:
            async for step in self.stream.steps():
                self.steps.append(step)
        finally:
            self._backend.cancel(self.stream)
        return self.tokens

    @property
    def tokens(self) -> list[int]:
        return [token for step in self.steps for token in step.tokens]

    @property
    def scores(self) -> list[tuple[int, float]]:
        """Tokens with their log-probabilities, of an ask that wants them."""
        said = [score.logprob for step in self.steps for score in step.scores]
        return list(zip(self.tokens, said, strict=True))

    def __await__(self) -> Any:
        return self._task.__await__()

    def cancel(self) -> None:
        self._task.cancel()


def random_prompt(length: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(100, 40_000), k=length)  # noqa: S311


def endless_prompt(seed: int) -> list[int]:
    """Its greedy answer says it again until the tokens are used up, however a machine rounds."""
    return random_prompt(5, seed) * 8
