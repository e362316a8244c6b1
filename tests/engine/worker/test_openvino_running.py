"""Requests that the library drops because its cache is full: they begin again, or are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import openvino_genai as genai
import pytest

from appliance.engine.worker.backends.base import BackendFailed
from appliance.engine.worker.backends.openvino import OpenVinoBackend
from appliance.engine.worker.backends.openvino_pipeline import OpenedModel
from appliance.engine.worker.backends.openvino_running import Running
from appliance.engine.worker.forms import OneOf
from appliance.engine.worker.sampling import TokenSampling
from tests.engine.worker.openvino_parts import BOUND_SECONDS, END, Answer, random_prompt
from tests.engine.worker.rounding import check_same
from tests.waiting import until

pytestmark = pytest.mark.anyio

COUNTING = ", ".join(str(number % 10) for number in range(40)) + ","


class Dropped:
    """A handle whose request is dropped after `after` tokens, as the library does it: its status
    says so, and the reader is woken with nothing to read."""

    def __init__(self, handle: Any, after: int) -> None:
        self._handle = handle
        self._left = after
        self._woken = False

    def _is_over(self) -> bool:
        return self._left <= 0

    def can_read(self) -> bool:
        if self._is_over():
            return not self._woken
        return bool(self._handle.can_read())

    def read(self) -> Any:
        if self._is_over():
            self._woken = True
            self._handle.cancel()
            return {}
        outputs = self._handle.read()
        self._left -= sum(len(each.generated_ids) for each in outputs.values())
        return outputs

    def get_status(self) -> Any:
        if self._is_over() and self._woken:
            return genai.GenerationStatus.IGNORED
        return self._handle.get_status()

    def cancel(self) -> None:
        self._handle.cancel()


class Full:
    """The real pipeline, which drops its first requests: one after each count of tokens."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self.drops: list[int] = []

    def add_request(self, number: int, ids: Any, config: Any) -> Any:
        handle = self._pipeline.add_request(number, ids, config)
        piece = config.max_new_tokens == 1
        return Dropped(handle, self.drops.pop(0)) if self.drops and not piece else handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


@pytest.fixture
def full(opened: OpenedModel) -> Full:
    return Full(opened.pipeline)


@pytest.fixture
async def backend(opened: OpenedModel, full: Full) -> AsyncIterator[OpenVinoBackend]:
    backend = OpenVinoBackend(replace(opened, pipeline=full), END)
    backend.start(asyncio.get_running_loop(), lambda error: pytest.fail(str(error)))
    async with asyncio.timeout(BOUND_SECONDS):
        yield backend
    backend.close()


async def test_a_dropped_request_says_what_it_would_have_said(
    backend: OpenVinoBackend, full: Full, say: Callable[..., list[int]]
) -> None:
    prompt = say(COUNTING)
    plain = Answer(backend, prompt, max_tokens=24, top_logprobs=0)
    await plain
    full.drops = [5, 3]
    again = Answer(backend, prompt, max_tokens=24, top_logprobs=0)
    await again
    check_same(plain.scores, again.scores)
    assert len(again.tokens) == len(plain.tokens)
    assert full.drops == []
    assert again.steps[-1].finish_reason == plain.steps[-1].finish_reason


async def test_who_finds_no_room_even_alone_is_told(backend: OpenVinoBackend, full: Full) -> None:
    full.drops = [0, 0]
    with pytest.raises(BackendFailed, match="does not fit"):
        await Answer(backend, random_prompt(20, 1))
    await Answer(backend, random_prompt(20, 2))


FORM = OneOf(tuple(f"{first} two three four five six" for first in ("one", "six", "ten")))
WARM = TokenSampling(temperature=1.5)


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_form_begins_at_its_beginning_and_says_nothing_twice(
    backend: OpenVinoBackend, full: Full, text_of: Callable[[Sequence[int]], str], after: int
) -> None:
    full.drops = [after]
    answer = Answer(backend, random_prompt(20, 3), form=FORM, max_tokens=30)
    beside = Answer(backend, random_prompt(20, 4))
    await asyncio.gather(answer, beside)
    assert full.drops == []
    assert text_of(answer.tokens).removesuffix("<|im_end|>") in FORM.texts
    assert beside.tokens


async def test_a_form_without_a_seed_is_said_again_with_its_own(
    backend: OpenVinoBackend, full: Full, text_of: Callable[[Sequence[int]], str]
) -> None:
    full.drops = [4]
    answer = Answer(backend, random_prompt(20, 3), form=FORM, max_tokens=30, sampling=WARM)
    await answer
    assert full.drops == []
    assert text_of(answer.tokens).removesuffix("<|im_end|>") in FORM.texts


async def test_a_form_that_says_something_else_is_told(
    backend: OpenVinoBackend, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent cannot be taken back."""
    other = OneOf(("nine lives",))
    monkeypatch.setattr(Running, "rest", lambda running: replace(running.ask, form=other))
    full.drops = [3]
    with pytest.raises(BackendFailed, match="does not fit"):
        await Answer(backend, random_prompt(20, 3), form=FORM, max_tokens=30)
    await Answer(backend, random_prompt(20, 2))


async def test_a_form_that_has_no_room_by_itself_is_told(
    backend: OpenVinoBackend, full: Full
) -> None:
    full.drops = [3, 3]
    with pytest.raises(BackendFailed, match="does not fit"):
        await Answer(backend, random_prompt(20, 3), form=FORM, max_tokens=30)
    await Answer(backend, random_prompt(20, 2))


class Hung:
    """The real pipeline; a step takes as long as the test wants."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self.go_on = threading.Event()

    def step(self) -> None:
        self.go_on.wait(BOUND_SECONDS)
        self._pipeline.step()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


async def test_a_step_that_does_not_end_is_silence_and_no_work_is_none(
    opened: OpenedModel,
) -> None:
    hung = Hung(opened.pipeline)
    backend = OpenVinoBackend(replace(opened, pipeline=hung), END)
    backend.start(asyncio.get_running_loop(), lambda error: pytest.fail(str(error)))
    assert backend.pulse.silent_seconds == 0
    answer = Answer(backend, random_prompt(20, 4), max_tokens=2)
    await until(lambda: backend.pulse.silent_seconds > 0.1)
    hung.go_on.set()
    await answer
    await until(lambda: backend.pulse.silent_seconds == 0)
    backend.close()
