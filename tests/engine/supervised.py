"""What the supervisor's tests share: processes that follow a script instead of loading a model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from appliance.engine.orders import Order
from appliance.engine.status import Engine, EngineStatus
from appliance.engine.supervisor import Supervisor

READY = """
say(event="listening", port=4711)
say(event="progress", stage="load", done=1, total=4)
say(event="ready", facts=dict(model=order["model"], backend="openvino", engine_version="1",
    precision="gguf", context_length=100, kv_tokens=100, max_concurrency=2, capabilities=[]))
"""
PRELUDE = """
import json, os, pathlib, sys
order = json.loads(sys.stdin.readline())
def say(**event): print(json.dumps(event), flush=True)
"""


class Choices:
    """The given models, one after the other, each run by the same command."""

    def __init__(self, command: tuple[str, ...], *models: str) -> None:
        self._command = command
        self._models = models
        self._at = 0
        self.asked: list[str] = []

    def first(self) -> Order:
        self._at = 0
        return self._order()

    def after_failure(self, code: str) -> Order | None:
        self.asked.append(code)
        self._at += 1
        return self._order() if self._at < len(self._models) else None

    def _order(self) -> Order:
        model = self._models[self._at]
        line = json.dumps({"model": model, "key": "k"})
        return Order(self._command, line, model, "k", {"TEST_COLOUR": "blue"})


Make = Callable[..., Supervisor]


async def seen(
    engine: Engine, wanted: Callable[[EngineStatus], bool], seconds: float = 10
) -> EngineStatus:
    async with asyncio.timeout(seconds):
        async for status in engine.changes():
            if wanted(status):
                return status
    raise AssertionError
