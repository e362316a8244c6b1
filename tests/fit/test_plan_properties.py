"""What holds for every machine and every wish."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import SetupError
from appliance.fit.catalogue import load_catalogue
from appliance.fit.decision import Plan
from appliance.fit.hardware import GIB, MIB, Gpu, Hardware
from appliance.fit.plan import plan
from appliance.fit.sizing import PAGE
from appliance.fit.wish import EngineWish, PrecisionWish, Wish
from appliance.fit.workspace import BLOCK_TOKENS
from tests.fit.machines import card, machine

CATALOGUE = load_catalogue()
# In the order of preference; vLLM takes 8-bit floats where the card has them.
FINENESS = {
    "gguf": 0,
    "nf4": 1,
    "awq": 2,
    "int8": 3,
    "bf16": 4,
    "fp16": 4,
    "fp32": 5,
    "fp8": 6,
}

sizes = st.integers(0, 96 * 1024).map(lambda mib: mib * MIB)
models = st.sampled_from(["auto", "demo", "qwen3-8b", "Qwen/Qwen3-4B", "qwen3-0.6b", "no/where"])
precisions: st.SearchStrategy[PrecisionWish] = st.sampled_from(
    ["auto", "16bit", "int8", "nf4", "fp8", "awq"]
)
engines: st.SearchStrategy[EngineWish] = st.sampled_from(
    ["auto", "transformers", "openvino", "vllm"]
)
wishes = st.builds(
    Wish,
    model=models,
    precision=precisions,
    engine=engines,
    context_length=st.none() | st.integers(256, 140_000),
    max_concurrency=st.none() | st.integers(1, 64),
)


@st.composite
def cards(draw: st.DrawFn) -> Gpu:
    capability = draw(st.sampled_from([(6, 1), (7, 5), (8, 6), (8, 9), (12, 0)]))
    driver = draw(st.sampled_from([(12, 4), (13, 0)]))
    free = draw(sizes)
    gpu = card(1, index=draw(st.integers(0, 7)), capability=capability)
    return replace(gpu, cuda_driver=driver, free_bytes=free, total_bytes=free + GIB)


@st.composite
def machines(draw: st.DrawFn) -> Hardware:
    gpus = draw(st.lists(cards(), max_size=3, unique_by=lambda gpu: gpu.index))
    ram = draw(sizes)
    return replace(machine(*gpus), ram_available_bytes=ram, ram_total_bytes=ram + GIB)


def decide(hardware: Hardware, wish: Wish) -> Plan | None:
    """A plan, or None for a refusal that names the setting and says something."""
    try:
        return plan(hardware, wish, CATALOGUE, find_config=lambda _: None)
    except SetupError as error:
        refusal = error
    assert refusal.param is not None
    assert len(str(refusal)) > 40
    return None


def quality(chosen: Plan | None) -> tuple[int, ...]:
    """Larger model, then card before CPU, then the finer precision, then more KV cache."""
    if chosen is None or chosen.entry is None or chosen.precision is None:
        return (0,)
    return (
        chosen.entry.shape.parameters,
        chosen.gpu is not None,
        FINENESS[chosen.precision],
        chosen.kv_tokens,
    )


@given(machines(), wishes)
def test_a_plan_never_promises_more_than_there_is(hardware: Hardware, wish: Wish) -> None:
    chosen = decide(hardware, wish)
    if chosen is None:
        return
    for one in (chosen, *chosen.fallbacks):
        free = hardware.ram_available_bytes if one.gpu is None else one.gpu.free_bytes
        assert one.total_bytes <= one.budget_bytes < free
        assert one.total_bytes == one.weight_bytes + one.kv_bytes + one.overhead_bytes
        assert 0 < one.context_length <= one.kv_tokens
        assert one.entry is not None
        assert one.context_length <= one.entry.context_limit
        assert one.kv_tokens % PAGE == 0
        assert one.max_concurrency >= 1


@given(machines(), wishes)
def test_a_wish_is_honoured_to_the_letter_or_refused(hardware: Hardware, wish: Wish) -> None:
    chosen = decide(hardware, wish)
    if chosen is None:
        return
    if wish.engine != "auto" and wish.model != "no/where":
        assert chosen.engine == wish.engine
    if wish.precision != "auto":
        assert chosen.precision in {"16bit": ("bf16", "fp16")}.get(
            wish.precision, (wish.precision,)
        )
    if wish.max_concurrency is not None:
        assert chosen.max_concurrency == wish.max_concurrency
    if wish.context_length is not None and wish.model not in ("auto", "no/where"):
        assert chosen.context_length == wish.context_length


@given(machines(), wishes, st.integers(0, 7), sizes)
def test_more_vram_never_gives_a_worse_plan(
    hardware: Hardware, wish: Wish, which: int, more: int
) -> None:
    gpus = tuple(
        replace(gpu, free_bytes=gpu.free_bytes + more, total_bytes=gpu.total_bytes + more)
        if gpu.index == which
        else gpu
        for gpu in hardware.gpus
    )
    before, after = decide(hardware, wish), decide(replace(hardware, gpus=gpus), wish)
    assert quality(after) >= quality(before)


@given(machines(), wishes, sizes)
def test_more_ram_never_gives_a_worse_plan(hardware: Hardware, wish: Wish, more: int) -> None:
    larger = replace(hardware, ram_available_bytes=hardware.ram_available_bytes + more)
    assert quality(decide(larger, wish)) >= quality(decide(hardware, wish))


@given(machines())
def test_auto_is_refused_only_when_not_even_the_demo_fits(hardware: Hardware) -> None:
    chosen = decide(hardware, Wish())
    if chosen is None:
        assert hardware.ram_available_bytes < 2 * GIB
    else:
        assert chosen.reasons


@given(machines(), wishes)
def test_the_same_question_has_the_same_answer(hardware: Hardware, wish: Wish) -> None:
    chosen = decide(hardware, wish)
    assert decide(hardware, wish) == chosen
    if chosen is not None:
        assert json.loads(json.dumps(chosen.to_dict()))["model"] == chosen.model


@given(machines(), wishes)
def test_no_request_that_is_admitted_can_outgrow_the_cache(hardware: Hardware, wish: Wish) -> None:
    """Admission takes what fits `context_length` and `kv_tokens`; engines deal in whole blocks."""
    chosen = decide(hardware, wish)
    if chosen is None:
        return
    for one in (chosen, *chosen.fallbacks):
        longest = min(one.context_length, one.kv_tokens)
        places = one.max_concurrency
        # As many requests as there are places, whose tokens together are all that is promised:
        # each may leave its last block almost empty.
        blocks = (one.kv_tokens - places) // BLOCK_TOKENS + places
        assert one.entry is not None
        token_bytes = one.entry.shape.kv_bytes_per_token(4 if one.precision == "fp32" else 2)
        if one.engine != "vllm":
            assert blocks * BLOCK_TOKENS * token_bytes <= one.kv_bytes
        # Alone, the longest request always has room.
        assert -(-longest // BLOCK_TOKENS) * BLOCK_TOKENS * token_bytes <= one.kv_bytes


@given(machines(), wishes)
def test_vllm_never_reaches_for_what_others_hold(hardware: Hardware, wish: Wish) -> None:
    chosen = decide(hardware, wish)
    if chosen is None:
        return
    for one in (chosen, *chosen.fallbacks):
        share = one.gpu_memory_fraction
        assert (share is not None) == (one.engine == "vllm" and one.gpu is not None)
        if share is not None and one.gpu is not None:
            assert 0 < share < 1
            assert share * one.gpu.total_bytes < one.budget_bytes < one.gpu.free_bytes
            assert share * one.gpu.total_bytes > one.weight_bytes + one.kv_bytes


@given(machines(), wishes)
def test_a_context_is_stretched_exactly_when_the_model_needs_it(
    hardware: Hardware, wish: Wish
) -> None:
    chosen = decide(hardware, wish)
    if chosen is None:
        return
    for one in (chosen, *chosen.fallbacks):
        assert one.entry is not None
        if one.yarn_factor is None:
            assert one.context_length <= one.entry.context_max
        else:
            assert wish.context_length is not None
            assert one.entry.context_max < one.context_length
            assert one.context_length <= one.yarn_factor * one.entry.context_native
            assert one.engine != "openvino"
