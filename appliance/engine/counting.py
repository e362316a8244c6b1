"""How many tokens a text has, as the engine itself counts them. Wakes no engine for it."""

from __future__ import annotations

from appliance.engine.client import EngineClient
from appliance.engine.status import Engine
from appliance.errors import ApplianceError

PIECE_CHARACTERS = 200_000


class TokenCounter:
    """Asks the engine that is loaded now."""

    def __init__(self, engine: Engine, client: EngineClient) -> None:
        self._engine = engine
        self._client = client

    async def __call__(self, text: str) -> int | None:
        """Tokens of `text` (of a long one in pieces, so a few too many); None: nobody can tell."""
        if self._engine.status.phase != "ready":
            return None
        pieces = [
            text[start : start + PIECE_CHARACTERS]
            for start in range(0, len(text), PIECE_CHARACTERS)
        ]
        try:
            async with self._engine.lease() as endpoint:
                counts = [
                    await self._client.ask(
                        endpoint, "/tokenize", {"model": endpoint.model, "prompt": piece}
                    )
                    for piece in pieces
                ]
        except ApplianceError:  # an engine of somebody else may have no such route
            return None
        found = [count for answer in counts if isinstance(count := answer.get("count"), int)]
        return sum(found) if len(found) == len(pieces) else None
