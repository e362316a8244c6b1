"""The planner: hardware and a wish in, one decision with its reasons out.

Pure arithmetic over values: the same machine and the same wish give the same plan. The only
thing read is the head of a model that the owner named and the catalogue does not know.

The rule: take the first candidate (`candidates`) whose weights, overhead and a useful KV cache
fit into the memory that is free now. What comes after it and is lighter is the fallback for the
day when loading fails; the demo model, which needs no network and little memory, ends the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from appliance.engine.config import FailureCode, ModelSource
from appliance.fit import reasons, refusals
from appliance.fit.candidates import candidates, choose_gpu, ways
from appliance.fit.catalogue import Catalogue, ModelEntry
from appliance.fit.decision import Plan, Reason
from appliance.fit.describe import FileFinder, describe
from appliance.fit.hardware import MIB, Hardware
from appliance.fit.hub_files import HubFiles
from appliance.fit.room import memory_fraction, share_out
from appliance.fit.sizing import Candidate
from appliance.fit.wish import AUTO, Wish

__all__ = ["Plan", "Reason", "Wish", "after_failure", "plan"]

_MOST_FALLBACKS = 3
# What is left alone when a card turned out to be short of memory, before a lighter model is tried.
_RESERVES = (256 * MIB, 512 * MIB, 1024 * MIB)
_BAD_SOURCE = ("model_missing", "model_gated", "model_corrupt")


@dataclass(frozen=True, slots=True)
class _Question:
    """Everything a decision depends on."""

    hardware: Hardware
    wish: Wish
    catalogue: Catalogue


def plan(
    hardware: Hardware,
    wish: Wish,
    catalogue: Catalogue,
    *,
    find_config: FileFinder | None = None,
) -> Plan:
    """What to run here. Raises SetupError, with numbers, for a wish that cannot be met.

    `find_config` looks a hub model up; left out, it asks huggingface.co.
    """
    wish.check()
    if wish.engine == "remote":
        return _remote(wish)
    entries, notes = _entries(wish, catalogue, find_config or HubFiles())
    question = _Question(hardware, wish, catalogue)
    options = candidates(entries, wish, hardware)
    if not options:
        raise refusals.impossible(wish, entries[0], hardware, choose_gpu(hardware))
    chosen = next((option for option in options if option.fits), None)
    if chosen is None:
        raise refusals.too_large(options)
    passed_over = options[: options.index(chosen)]
    decision = _decide(question, chosen, passed_over, notes)
    rest = options[len(passed_over) + 1 :]
    leaner = (_decide(question, option) for option in _leaner(chosen) if option.fits)
    return replace(
        decision,
        leaner=tuple(one for one in leaner if one.kv_tokens < decision.kv_tokens),
        fallbacks=_fallbacks(question, chosen, rest),
    )


def after_failure(plan: Plan, code: FailureCode) -> Plan | None:
    """The next plan to try when loading failed with `code`, its own fallbacks included. Where
    memory was short, the same with less cache comes first.

    None: nothing is left. Without the hub, only what needs no hub makes sense.
    """
    if code == "out_of_memory" and plan.leaner:
        return replace(plan.leaner[0], leaner=plan.leaner[1:], fallbacks=plan.fallbacks)
    for position, fallback in enumerate(plan.fallbacks):
        if code == "hub_unreachable" and fallback.source.kind == "hub":
            continue
        # The same files would be as absent, locked or damaged as they were.
        if code in _BAD_SOURCE and fallback.source == plan.source:
            continue
        if code == "missing_package" and fallback.engine == plan.engine:
            continue
        return replace(fallback, fallbacks=plan.fallbacks[position + 1 :])
    return None


def _entries(
    wish: Wish, catalogue: Catalogue, find_config: FileFinder
) -> tuple[tuple[ModelEntry, ...], tuple[Reason, ...]]:
    """The models that may be taken, best first, and what has to be said about that."""
    if wish.model == AUTO:
        # Quantising the demo model is nobody's wish, even where nothing else fits.
        demo = () if wish.precision in ("int8", "nf4") else (catalogue.demo,)
        return (*catalogue.automatic, *demo), ()
    entry = describe(wish.model, catalogue, find_config)
    if entry is None:
        return (catalogue.demo,), (reasons.hub_unreachable(wish.model),)
    if wish.context_length is not None and wish.context_length > entry.context_limit:
        raise refusals.context_too_long(entry, wish.context_length)
    return (entry,), ()


def _decide(
    question: _Question,
    chosen: Candidate,
    passed_over: tuple[Candidate, ...] = (),
    notes: tuple[Reason, ...] = (),
) -> Plan:
    wish, hardware, place = question.wish, question.hardware, chosen.place
    room = share_out(chosen, wish.context_length)
    kv_bytes = chosen.cache_bytes(room.kv_tokens, room.max_concurrency)
    overhead = chosen.overhead_bytes(room.kv_tokens, room.max_concurrency)
    total = chosen.weight_bytes + kv_bytes + overhead
    return Plan(
        engine=place.engine,
        device=place.device,
        gpu=place.gpu,
        model=chosen.entry.name,
        entry=chosen.entry,
        source=chosen.source,
        precision=chosen.precision,
        weight_bytes=chosen.weight_bytes,
        kv_bytes=kv_bytes,
        kv_tokens=room.kv_tokens,
        overhead_bytes=overhead,
        total_bytes=total,
        budget_bytes=place.budget_bytes,
        context_length=room.context_length,
        max_concurrency=room.max_concurrency,
        threads=hardware.cores_physical if place.gpu is None else None,
        default_sampling=dict(chosen.entry.sampling),
        thinking_sampling=dict(chosen.entry.sampling_thinking),
        yarn_factor=room.yarn_factor,
        gpu_memory_fraction=memory_fraction(place, total),
        reasons=(*notes, *reasons.explain(chosen, passed_over, room, wish, hardware)),
    )


def _fallbacks(
    question: _Question, chosen: Candidate, rest: tuple[Candidate, ...]
) -> tuple[Plan, ...]:
    """Ever lighter candidates of the same wish, then every way to run the demo model.

    Where vLLM does not start at all, our own engine takes the same model.
    """
    demo = question.catalogue.demo
    lighter: list[Candidate] = []
    weight = chosen.weight_bytes
    for option in rest:
        if option.fits and option.weight_bytes < weight and option.entry is not demo:
            lighter.append(option)
            weight = option.weight_bytes
    engine = question.wish.engine
    free = Wish(engine="auto" if engine == "vllm" else engine)
    own = _without_vllm(question, chosen.entry) if engine == "vllm" else []
    last = [way for way in ways(demo, free, question.hardware) if way.fits]
    last = [way for way in last if (way.entry, way.place) != (chosen.entry, chosen.place)]
    return tuple(_decide(question, option) for option in [*lighter[:_MOST_FALLBACKS], *own, *last])


def _leaner(chosen: Candidate) -> Iterator[Candidate]:
    """With less cache, on a card: elsewhere it is a small part of the memory, and vLLM makes its
    cache of what is left of its share."""
    if not chosen.place.is_our_card:
        return
    for reserve in _RESERVES:
        yield replace(chosen, place=replace(chosen.place, reserve_bytes=reserve))


def _without_vllm(question: _Question, entry: ModelEntry) -> list[Candidate]:
    """The best way to run the model that needs no vLLM, if there is one."""
    wish = replace(question.wish, model=entry.name, engine=AUTO, precision=AUTO)
    return [way for way in ways(entry, wish, question.hardware) if way.fits][:1]


def _remote(wish: Wish) -> Plan:
    """Nothing to size: the other server has decided all of it."""
    return Plan(
        engine="remote",
        device="remote",
        model=wish.model,
        source=ModelSource("hub", wish.model),
        context_length=wish.context_length or 0,
        max_concurrency=wish.max_concurrency or 0,
        reasons=(reasons.remote(),),
    )
