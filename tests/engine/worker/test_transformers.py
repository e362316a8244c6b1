"""The transformers backend on a tiny random model: what the library's loop must not spoil."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from appliance.engine.worker.backends.base import TokenStream
from appliance.engine.worker.backends.controls import Controls
from appliance.engine.worker.backends.grammar import GrammarCompiler
from appliance.engine.worker.backends.transformers import (
    PAGE_TOKENS,
    PREFILL_BESIDE,
    TransformersBackend,
)
from appliance.engine.worker.backends.weights import load_model
from tests.engine.worker.loop_of_a_card import warm_up_as_on_a_card
from tests.engine.worker.playing import Player, ask, collect
from tests.waiting import until

END = 2
PLACES = 16


def started(
    folder: Path, kv_tokens: int = 16_384, places: int = PLACES, *, as_on_a_card: bool = False
) -> Player:
    backend = TransformersBackend(
        load_model(folder, "fp32", None),
        [END],
        kv_tokens=kv_tokens,
        max_concurrency=places,
        grammars=GrammarCompiler(folder / "tokenizer.json", [END]),
    )
    if as_on_a_card:
        warm_up_as_on_a_card(backend)
    else:
        backend.warm_up()
    return Player(backend)


@pytest.fixture(scope="module", params=[False, True], ids=["as on a processor", "as on a card"])
def as_on_a_card(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


@pytest.fixture(scope="module")
def player(tiny_folder: Path, as_on_a_card: bool) -> Iterator[Player]:
    player = started(tiny_folder, as_on_a_card=as_on_a_card)
    yield player
    player.close()


def prompt(seed: int, length: int = 20) -> list[int]:
    numbers = random.Random(seed)  # noqa: S311
    return [numbers.randrange(100, 49_000) for _ in range(length)]


def crowd(count: int = PLACES - 1) -> list[Any]:
    """Requests of many kinds and lengths, to be busy with."""
    kinds: list[dict[str, Any]] = [
        {},
        {"temperature": 1.0},
        {"temperature": 0.7, "top_k": 20, "presence_penalty": 1.0},
        {"temperature": 1.3, "top_p": 0.9, "top_logprobs": 3},
    ]
    return [ask(prompt(i, 5 + 9 * i), 10 + i, **kinds[i % 4]) for i in range(count)]


def test_greedy_in_a_batch_is_what_the_library_generates_alone(
    player: Player, tiny_folder: Path
) -> None:
    model = load_model(tiny_folder, "fp32", None)
    prompts = [prompt(seed, 30 + 7 * seed) for seed in range(PLACES)]
    alone = [
        model.generate(
            torch.tensor([ids]), max_new_tokens=16, do_sample=False, eos_token_id=-1, pad_token_id=0
        )[0, len(ids) :].tolist()
        for ids in prompts
    ]
    together = player.play(*[ask(ids, 16) for ids in prompts])
    assert [played.tokens for played in together] == alone


def test_a_seed_gives_the_same_text_alone_and_in_a_busy_batch(player: Player) -> None:
    wish = ask(prompt(99), 40, temperature=1.2, top_p=0.95, seed=7)
    [alone] = player.play(wish)
    busy = player.play(*crowd(7), wish, *crowd(8))
    assert busy[7].tokens == alone.tokens
    [other] = player.play(ask(prompt(99), 40, temperature=1.2, top_p=0.95, seed=8))
    assert other.tokens != alone.tokens


def test_answers_are_drawn_while_another_prompt_is_read_in_pieces(player: Player) -> None:
    drawn: dict[str, Any] = {"temperature": 0.9, "top_k": 20}
    first, second = ask(prompt(1), 60, seed=1, **drawn), ask(prompt(2), 60, seed=2, **drawn)
    alone = [player.play(each)[0].tokens for each in (first, second)]
    *both, late = player.play(first, second, ask(prompt(3, 600), 4, seed=3, **drawn))
    assert [each.tokens for each in both] == alone
    assert len(late.tokens) == 4


def test_without_a_seed_texts_differ(player: Player) -> None:
    first, second = player.play(*[ask(prompt(1), 20, temperature=1.5)] * 2)
    assert first.tokens != second.tokens


def test_logit_bias_forbids_and_forces(player: Player) -> None:
    [free] = player.play(ask(prompt(3), 1))
    [without] = player.play(ask(prompt(3), 1, logit_bias=((free.tokens[0], -100.0),)))
    [forced] = player.play(ask(prompt(3), 3, logit_bias=((1234, 100.0), (10**7, 100.0))))
    assert without.tokens != free.tokens
    assert forced.tokens == [1234] * 3


def test_prompts_are_scored_while_others_run(player: Player, tiny_folder: Path) -> None:
    """Read in pieces beside answers, and computed even where the cache knows them."""
    model = load_model(tiny_folder, "fp32", None)
    prompts = [prompt(50, 1), prompt(51, 2), prompt(52, 400), prompt(53, 333)]
    asks = [ask(ids, 2, top_logprobs=2, prompt_scores=True) for ids in prompts]
    player.play(ask(prompts[2], 2))
    for found in (player.play(*crowd(8), *asks)[8:], player.play(*asks)):
        for ids, played in zip(prompts, found, strict=True):
            logprobs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            tokens = logprobs.topk(2).indices
            own = logprobs.gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)
            assert [s.logprob for s in played.prompt_scores] == pytest.approx(
                own.tolist(), abs=1e-3
            )
            tops = [[token for token, _ in score.top] for score in played.prompt_scores]
            alike = sum(a == b for a, b in zip(tops, tokens.tolist(), strict=True))
            assert alike >= 0.98 * len(tops), "two nearly equal ones may change places"
    [silent] = player.play(ask(prompts[3], 2, top_logprobs=2))
    assert not silent.prompt_scores
    assert silent.cached_tokens > 0


def test_log_probabilities_are_of_the_raw_logits(player: Player, tiny_folder: Path) -> None:
    ids = prompt(4)
    bias = ((1234, 100.0),)
    asked, silent, _ = player.play(
        ask(ids, 2, top_logprobs=5, temperature=0.3, logit_bias=bias), ask(ids, 2), ask(ids, 2)
    )
    logits = load_model(tiny_folder, "fp32", None)(torch.tensor([ids])).logits[0, -1]
    expected = logits.log_softmax(-1)
    assert asked.tokens[0] == 1234
    assert asked.scores[0].logprob == pytest.approx(expected[1234].item(), abs=1e-4)
    values, tokens = expected.topk(5)
    assert [token for token, _ in asked.scores[0].top] == tokens.tolist()
    assert [value for _, value in asked.scores[0].top] == pytest.approx(values.tolist(), abs=1e-4)
    assert len(asked.scores) == len(asked.tokens) == 2
    assert silent.scores == []


def test_log_probabilities_of_the_chosen_alone(player: Player) -> None:
    [played] = player.play(ask(prompt(5), 9, top_logprobs=0))
    assert [score.top for score in played.scores] == [[]] * 9


def test_scores_stay_beside_their_tokens_when_a_reader_is_late(player: Player) -> None:
    async def read_late() -> Any:
        stream = TokenStream(ask(prompt(6), 12, top_logprobs=1))
        player.backend.submit(stream)
        await until(lambda: len(stream._tokens) == 12)
        return await collect(stream)

    late = player.loop.run_until_complete(read_late())
    [prompt_reader] = player.play(ask(prompt(6), 12, top_logprobs=1))
    assert len(late.scores) == 12
    assert [score.top[0][0] for score in late.scores] == late.tokens
    assert late.tokens == prompt_reader.tokens


def test_the_shared_part_of_a_prompt_is_not_computed_again(player: Player) -> None:
    ids = prompt(700, 5 * PAGE_TOKENS + 3)
    [first] = player.play(ask(ids, 4))
    [second] = player.play(ask(ids, 4))
    [longer] = player.play(ask(ids + first.tokens + prompt(8, 40), 4))
    assert (first.cached_tokens, second.cached_tokens) == (0, 5 * PAGE_TOKENS)
    assert longer.cached_tokens == 5 * PAGE_TOKENS
    assert second.tokens == first.tokens


def test_requests_that_lose_their_cache_go_on_where_they_were(
    tiny_folder: Path, as_on_a_card: bool
) -> None:
    """Three answers of 120 tokens in room for 288: some are evicted and start again."""
    wishes = [
        ask(prompt(seed, 40), 120, temperature=1.0, seed=seed, top_logprobs=1) for seed in range(3)
    ]
    tight = started(tiny_folder, kv_tokens=192, places=3, as_on_a_card=as_on_a_card)
    restarted: list[bool] = []
    scheduler = tight.backend._manager.batch_processor.scheduler  # type: ignore[attr-defined]
    add = scheduler.add_waiting_request

    def noted(state: Any) -> None:
        restarted.append(bool(state._true_initial_tokens))
        add(state)

    scheduler.add_waiting_request = noted
    played = tight.play(*wishes)
    tight.close()
    roomy = started(tiny_folder, places=3)
    expected = roomy.play(*wishes)
    roomy.close()
    assert any(restarted)
    assert [each.tokens for each in played] == [each.tokens for each in expected]
    assert [len(each.scores) for each in played] == [len(each.tokens) for each in played]
    assert [each.cached_tokens for each in played] == [0] * 3


def test_an_evicted_request_goes_on_when_the_others_are_cancelled(
    tiny_folder: Path, as_on_a_card: bool
) -> None:
    player = started(tiny_folder, kv_tokens=192, places=2, as_on_a_card=as_on_a_card)
    manager: Any = player.backend._manager  # type: ignore[attr-defined]

    async def scenario() -> Any:
        streams = [TokenStream(ask(prompt(seed, 40), 140)) for seed in range(2)]
        for stream in streams:
            player.backend.submit(stream)
        scheduler = manager.batch_processor.scheduler
        await until(lambda: scheduler.block_new_requests, 60)
        survivor = next(iter(scheduler.waiting_requests), None)
        assert survivor is not None
        ids = player.backend._running  # type: ignore[attr-defined]
        for stream in streams:
            if ids[stream] != survivor:
                player.backend.cancel(stream)
        [stream] = [each for each in streams if each in ids]
        return await asyncio.wait_for(collect(stream), 60)

    played = player.loop.run_until_complete(scenario())
    player.close()
    assert len(played.tokens) == 140


@pytest.mark.parametrize(("seconds", "tokens"), [(0.0, PAGE_TOKENS), (60.0, PREFILL_BESIDE["cpu"])])
def test_pieces_of_prompts_beside_answers_follow_the_steps(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, tokens: int
) -> None:
    """On the slowest machine one page a step, on a fast one as much as is ever read."""
    monkeypatch.setattr("appliance.engine.worker.backends.transformers.STEP_SECONDS", seconds)
    player = started(tiny_folder, places=2)

    answer, _ = player.play(ask(prompt(1), 60), ask(prompt(2, 600), 1))
    budget = player.backend._manager.batch_processor.scheduler._budget  # type: ignore[attr-defined]
    player.close()
    assert len(answer.tokens) == 60
    assert budget.tokens == tokens


def test_a_failure_in_the_sampler_ends_every_stream_and_is_fatal(
    tiny_folder: Path, as_on_a_card: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = started(tiny_folder, places=3, as_on_a_card=as_on_a_card)

    def broken(*_: Any) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr("appliance.engine.worker.backends.sampler.mark_choices", broken)
    played = player.play(*crowd(3))
    player.loop.run_until_complete(until(lambda: player.fatal))
    player.close()
    assert all("device-side assert" in str(each.error) for each in played)
    assert "device-side assert" in str(player.fatal[0])
    assert len(player.fatal) == 1


def test_a_copy_of_controls_is_the_same_controls() -> None:
    controls = Controls(sampling=ask([1]).sampling)
    assert copy.deepcopy({"controls": controls})["controls"] is controls
