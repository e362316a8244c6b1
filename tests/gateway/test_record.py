"""What the row of a generation tells besides its texts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from appliance.domain import Constraint, GenerationRequest, Message, Sampling, Tool
from appliance.engine.config import EngineFacts
from appliance.gateway.context import Origin
from appliance.gateway.energy import EnergyMeter
from appliance.gateway.identity import Caller
from appliance.gateway.queue import FairQueue
from appliance.gateway.terms import parameters
from appliance.gateway.work import with_seed
from appliance.observability import context
from tests.gateway.house import ANNA, House
from tests.scripted_engine import ScriptedEngine
from tests.waiting import until

pytestmark = pytest.mark.anyio

FACTS = EngineFacts(
    model="m", backend="transformers", engine_version="5", precision="bf16", context_length=512,
    kv_tokens=512, max_concurrency=2, capabilities=("seed",), thinking=True,
    default_sampling={"temperature": 0.7, "top_k": 20},
    thinking_sampling={"temperature": 0.6, "top_k": 20},
)  # fmt: skip
HELLO = GenerationRequest(prompt=(Message("user", "Hello"),))


async def test_a_row_tells_where_it_comes_from_and_how_large_it_is(house: House) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    token = context.enter(context.read_context("r", f"00-{trace}-b7ad6b7169203331-01"))
    try:
        origin = Origin(dialect="chat", conversation_id="c", assistant="tutor", replay_of="g")
        await house.ask("say 你 好", origin=origin, sampling=Sampling(seed=7))
    finally:
        context.leave(token)
    (row,) = await house.rows()
    told = (row.dialect, row.conversation_id, row.assistant, row.replay_of, row.trace_id)
    assert told == ("chat", "c", "tutor", "g", trace)
    assert (row.seed, row.queue_place, row.joules, row.model_hash) == (7, 0, None, None)
    assert (row.input_bytes, row.output_bytes) == (
        len("say 你 好".encode()),
        len("你 好 ".encode()),
    )
    assert row.tpot_ms is not None
    assert 0 <= row.tpot_ms <= (row.duration_ms or 0)


def _waits(house: House, many: int) -> bool:
    return house.queue.waiting == many


async def test_who_comes_second_is_told_that_nobody_waited_and_the_third_that_one_did(
    house: House, script: ScriptedEngine
) -> None:
    house.queue = FairQueue(slots=1, limit=8)
    house.with_parts()
    script.release.clear()
    script.started.clear()
    tasks = [asyncio.create_task(house.ask("wait"))]
    await until(script.started.is_set)
    for waiting in (1, 2):
        tasks.append(asyncio.create_task(house.ask("say later")))
        await until(partial(_waits, house, waiting))
    script.release.set()
    await asyncio.gather(*tasks)
    assert [row.queue_place for row in await house.rows()] == [0, 0, 1]


@pytest.mark.parametrize(
    ("caller", "origin"),
    [
        (replace(ANNA, log_content="metadata"), Origin()),
        (ANNA, Origin(keep_content=False)),
    ],
)
async def test_metadata_only_keeps_numbers_and_no_word(
    house: House, caller: Caller, origin: Origin
) -> None:
    tools = (Tool("look", "Finds a zebrafish."),)
    form = Constraint("regex", "zebrafish")
    await house.ask("say zebrafish", caller=caller, origin=origin, tools=tools, constraint=form)
    (row,) = await house.rows()
    texts = (row.input, row.output, row.tool_calls, row.tools, row.form)
    assert texts == (None,) * 5
    assert (row.parameters["tools"], row.parameters["constraint"]) == (["look"], "regex")
    assert (row.completion_tokens, row.output_bytes) == (1, len("zebrafish "))
    for file in house.database.file.parent.glob("*.db*"):  # type: ignore[union-attr]
        assert b"zebrafish" not in file.read_bytes()


def test_parameters_tell_what_the_engine_does_where_nothing_was_asked() -> None:
    assert parameters(HELLO, FACTS) == FACTS.thinking_sampling
    plain = replace(HELLO, enable_thinking=False, sampling=Sampling(top_k=5))
    assert parameters(plain, FACTS) == {"temperature": 0.7, "top_k": 5, "enable_thinking": False}
    assert parameters(replace(HELLO, prompt="raw"), FACTS) == FACTS.default_sampling


def test_our_own_engines_draw_by_a_seed_that_is_known() -> None:
    seeds = {with_seed(HELLO, FACTS).sampling.seed for _ in range(50)}
    assert len(seeds) == 50
    assert all(seed is not None and 0 <= seed < 2**53 for seed in seeds)
    for facts in (None, replace(FACTS, backend="vllm"), replace(FACTS, backend="remote")):
        assert with_seed(HELLO, facts) is HELLO
    asked = replace(HELLO, sampling=Sampling(seed=3))
    assert with_seed(asked, FACTS) is asked


class Card:
    """A card that uses `watts`, with a clock of its own."""

    def __init__(self) -> None:
        self.now = self.joules = 0.0
        self.watts = 100.0

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.joules += self.watts * seconds


async def test_energy_is_shared_by_those_who_run_at_the_same_time() -> None:
    card = Card()
    meter = EnergyMeter(clock=lambda: card.now)
    first = meter.begin()
    meter.take(card.joules)
    card.later(1)
    meter.take(card.joules)
    second = meter.begin()
    card.later(2)
    alone = meter.end(first)
    card.watts = 300
    card.later(1)
    meter.take(card.joules)
    both = meter.end(second)
    assert alone == pytest.approx(100 + 200 / 2)
    assert both == pytest.approx(200 / 2 + 300)


async def test_a_machine_that_does_not_tell_has_no_joules() -> None:
    meter = EnergyMeter(lambda: None)
    mark = meter.begin()
    await until(lambda: meter._read is None)
    assert meter.end(mark) is None
