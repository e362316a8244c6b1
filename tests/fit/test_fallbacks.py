"""What is loaded instead when loading failed."""

from __future__ import annotations

import pytest

from appliance.fit.decision import Plan
from appliance.fit.hardware import GIB
from appliance.fit.plan import after_failure
from tests.fit.machines import card, machine
from tests.fit.test_plan import decide, words


def test_fallbacks_grow_lighter_and_end_with_the_demo() -> None:
    chosen = decide(machine(card(15.3)))
    weights = [chosen.weight_bytes, *(one.weight_bytes for one in chosen.fallbacks[:3])]
    assert weights == sorted(set(weights), reverse=True)
    assert chosen.fallbacks[-1].model == "SmolLM2-135M-Instruct"
    assert all(one.fallbacks == () for one in chosen.fallbacks)


def test_where_memory_was_short_there_is_less_cache_and_then_something_lighter() -> None:
    now: Plan | None = decide(machine(card(15.3)))
    seen: list[Plan] = []
    while now is not None and now.precision == "int8":
        seen.append(now)
        now = after_failure(now, "out_of_memory")
    assert now is not None
    assert (now.model, now.precision) == ("Qwen3-8B", "nf4")
    assert len(seen) == 4
    caches = [one.kv_tokens for one in seen]
    assert caches == sorted(set(caches), reverse=True)
    assert seen[0].total_bytes - seen[-1].total_bytes == pytest.approx(GIB, rel=0.02)
    assert "1.2 GiB stay free" in words(seen[-1], "memory")


def test_less_cache_than_is_of_use_is_not_tried() -> None:
    chosen = decide(machine(card(7.3)))
    assert (chosen.model, chosen.precision) == ("Qwen3-8B", "nf4")
    assert all(6_144 <= one.kv_tokens < chosen.kv_tokens for one in chosen.leaner)
    assert len(chosen.leaner) == 1
    assert decide(machine(card(23)), model="demo").leaner == ()
    assert decide(machine()).leaner == ()
    assert decide(machine(card(23)), engine="vllm").leaner == ()


def test_after_a_failure_the_next_sensible_plan_is_tried() -> None:
    chosen = decide(machine(card(15.3)))
    lighter = after_failure(chosen, "load_failed")
    assert lighter is not None
    assert (lighter.model, lighter.precision) == ("Qwen3-8B", "nf4")
    offline = after_failure(chosen, "hub_unreachable")
    assert offline is not None
    assert offline.source.kind == "package"
    without_torch = after_failure(chosen, "missing_package")
    assert without_torch is not None
    assert without_torch.engine == "openvino"
    last: Plan | None = chosen
    for _ in chosen.fallbacks:
        assert last is not None
        last = after_failure(last, "load_failed")
    assert last is not None
    assert after_failure(last, "load_failed") is None
