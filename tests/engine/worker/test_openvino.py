"""The OpenVINO backend alone, with the packaged model: forms, prompts in pieces, counts, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from appliance.engine.worker.backends import openvino
from appliance.engine.worker.backends.openvino import OpenVinoBackend
from appliance.engine.worker.backends.openvino_pipeline import (
    TOKENS_PER_STEP,
    OpenedModel,
)
from appliance.engine.worker.backends.openvino_requests import Requests
from appliance.engine.worker.backends.pace import News
from appliance.engine.worker.forms import (
    CAPABILITY,
)
from appliance.engine.worker.prefix_index import PrefixIndex
from appliance.engine.worker.sampling import TokenSampling
from tests.engine.worker.openvino_parts import (
    BLOCK,
    END,
    Answer,
    endless_prompt,
    random_prompt,
)
from tests.engine.worker.rounding import check_same
from tests.waiting import until

pytestmark = pytest.mark.anyio


def test_capabilities_are_what_the_backend_can(opened: OpenedModel) -> None:
    capabilities = OpenVinoBackend(opened, END).capabilities
    assert capabilities >= {*CAPABILITY.values(), "logprobs", "temperature", "seed"}
    assert not capabilities & {"top_logprobs", "logit_bias", "adapters"}
    assert not OpenVinoBackend(opened, []).capabilities & set(CAPABILITY.values())


async def test_a_model_without_an_end_token_speaks_until_the_length(opened: OpenedModel) -> None:
    endless = OpenVinoBackend(opened, [])
    endless.start(asyncio.get_running_loop(), lambda error: pytest.fail(str(error)))
    answer = Answer(endless, random_prompt(20, 5), max_tokens=6)
    await answer
    endless.close()
    assert len(answer.tokens) == 6
    assert answer.steps[-1].finish_reason == "length"


# --- sampling


async def test_logprobs_are_those_before_sampling_parameters(backend: OpenVinoBackend) -> None:
    prompt = random_prompt(20, 4)
    plain = Answer(backend, prompt, top_logprobs=0)
    await plain
    scores = [score for step in plain.steps for score in step.scores]
    assert len(scores) == len(plain.tokens)
    assert all(score.logprob < 0 and score.top == [] for score in scores)
    # The same first token from a sharpened and penalised distribution has the same score.
    sharp = TokenSampling(temperature=0.01, top_k=3, top_p=0.9, presence_penalty=1.0, seed=1)
    sampled = Answer(backend, prompt, top_logprobs=0, sampling=sharp)
    await sampled
    assert sampled.tokens[0] == plain.tokens[0]
    assert sampled.steps[0].scores[0].logprob == pytest.approx(scores[0].logprob, abs=0.05)
    unasked = Answer(backend, prompt)
    await unasked
    assert not any(step.scores for step in unasked.steps)


async def test_greedy_answers_repeat(
    backend: OpenVinoBackend, say: Callable[..., list[int]], text_of: Callable[[Any], str]
) -> None:
    """Golden: alone, the same text every time, on every machine that we know."""
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    prompt = say("What is the capital of France?", system)
    texts = [text_of(await Answer(backend, prompt, max_tokens=12)) for _ in range(2)]
    assert texts == ["The capital of France is Paris."] * 2


# --- prompts


async def test_those_who_come_at_the_same_moment_begin_with_the_same_step(
    backend: OpenVinoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "GATHER_SECONDS", 0.5)
    monkeypatch.setattr(openvino, "LONGEST_GATHER_SECONDS", 5.0)
    said: list[int] = []
    step = Requests.step

    def counted(requests: Requests) -> News:
        news = step(requests)
        said.append(len(news))
        return news

    monkeypatch.setattr(Requests, "step", counted)
    answers = []
    for seed in range(4):
        answers.append(Answer(backend, random_prompt(20, seed), max_tokens=2))
        await asyncio.sleep(0.01)
    await asyncio.gather(*answers)
    assert said[0] == len(answers)


async def scored(backend: OpenVinoBackend, prompt: list[int]) -> Answer:
    answer = Answer(backend, prompt, top_logprobs=0)
    await answer
    return answer


async def test_cached_tokens_are_counted(backend: OpenVinoBackend) -> None:
    prompt = random_prompt(400, 5)
    first, again = Answer(backend, prompt), None
    await first
    assert first.stream.cached_tokens == 0  # its own pieces do not count
    again = Answer(backend, prompt)
    await again
    assert again.stream.cached_tokens == 384
    assert again.tokens == first.tokens
    onward = Answer(backend, [*prompt, *first.tokens, *random_prompt(40, 6)])
    await onward
    assert 384 <= onward.stream.cached_tokens <= 407


async def test_prompt_in_pieces_reads_as_the_whole_does(backend: OpenVinoBackend) -> None:
    """Beside a running answer a prompt is read in small pieces; the answer is the same."""
    prompt = random_prompt(300, 7)
    alone = await scored(backend, prompt)
    running = Answer(backend, endless_prompt(8), max_tokens=900)
    await until(lambda: running.tokens)
    fresh = [prompt[1], *prompt[1:]]
    before = len(running.steps)
    staged = await scored(backend, fresh)
    assert staged.stream.cached_tokens == 0
    # A step for each piece of at most TOKENS_PER_STEP tokens, and one a token.
    assert len(running.steps) - before >= 300 // TOKENS_PER_STEP
    running.cancel()
    check_same(staged.scores, (await scored(backend, fresh)).scores)
    check_same(alone.scores, (await scored(backend, prompt)).scores)


async def test_cancel_in_every_phase_leaves_nothing_behind(
    opened: OpenedModel, backend: OpenVinoBackend
) -> None:
    running = Answer(backend, endless_prompt(9), max_tokens=900)
    await until(lambda: running.tokens)
    for steps in (0, 1, 2, 3, 5):  # waiting, each piece, the first tokens
        victim = Answer(backend, random_prompt(200, 100 + steps), max_tokens=100)
        before = len(running.steps)
        await until(lambda: len(running.steps) > before + steps)  # noqa: B023 - used at once
        victim.cancel()
    running.cancel()
    await until(lambda: not opened.pipeline.has_non_finished_requests())


async def test_evicted_pieces_end_in_the_library_reading_alone(
    opened: OpenedModel, backend: OpenVinoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every piece had been lost: the index says cached, and the library knows nothing."""
    monkeypatch.setattr(PrefixIndex, "known", lambda self, chain: len(chain) * BLOCK)
    prompt = random_prompt(300, 10)
    answer = Answer(backend, prompt)
    await answer
    assert answer.stream.cached_tokens == 0
    monkeypatch.undo()
    assert await Answer(backend, prompt) == answer.tokens


async def test_full_cache_still_answers_everybody(backend: OpenVinoBackend) -> None:
    """Prompts that are more than the cache together: pieces are lost, answers are not."""
    answers = [Answer(backend, random_prompt(330, 200 + i), max_tokens=5) for i in range(4)]
    assert [len(await answer) for answer in answers] == [5] * 4
