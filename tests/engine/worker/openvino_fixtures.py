"""One packaged model on OpenVINO for a whole module, and a backend over it for each test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from appliance.engine.worker.backends.openvino import OpenVinoBackend
from appliance.engine.worker.backends.openvino_conversion import converted
from appliance.engine.worker.backends.openvino_pipeline import OpenedModel, open_pipeline
from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.openvino_parts import (
    BOUND_SECONDS,
    END,
    KV_TOKENS,
)
from tests.waiting import until


@pytest.fixture(scope="session")
def opened(demo_folder: ModelFolder) -> OpenedModel:
    assert demo_folder.gguf is not None
    folder = converted(demo_folder.gguf, demo_folder.path, lambda *_: None)
    assert folder is not None
    model = open_pipeline(folder, kv_tokens=KV_TOKENS, max_concurrency=4, threads=None)
    OpenVinoBackend(model, END).warm_up()
    return model


@pytest.fixture
async def backend(opened: OpenedModel) -> AsyncIterator[OpenVinoBackend]:
    """Each test has a backend of its own over the one pipeline, in its own event loop."""
    deaths: list[BaseException] = []
    backend = OpenVinoBackend(opened, END)
    backend.start(asyncio.get_running_loop(), deaths.append)
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            yield backend
    finally:
        backend.close()
        await until(lambda: all(each.name != "openvino" for each in threading.enumerate()))
        assert not deaths


@pytest.fixture(scope="session")
def tokenizer(demo_folder: ModelFolder) -> TextTokenizer:
    return demo_folder.tokenizer()


@pytest.fixture(scope="session")
def say(tokenizer: TextTokenizer) -> Callable[..., list[int]]:
    """The prompt of a chat in the packaged model's form."""

    def say(text: str, system: str = "Be brief.") -> list[int]:
        turns = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n"
        return tokenizer.encode(f"{turns}<|im_start|>assistant\n", add_special_tokens=False)

    return say


@pytest.fixture(scope="session")
def text_of(tokenizer: TextTokenizer) -> Callable[[Sequence[int]], str]:
    def text_of(tokens: Sequence[int]) -> str:
        kept = [token for token in tokens if token not in END]
        return b"".join(tokenizer.bytes(token) for token in kept).decode()

    return text_of
