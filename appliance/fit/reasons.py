"""Why the planner decided as it did: sentences with their numbers kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance.domain import Phrase
from appliance.fit.catalogue import DEMO
from appliance.fit.decision import Reason
from appliance.fit.hardware import Hardware, gib
from appliance.fit.reasons_machine import device, disk, memory
from appliance.fit.room import Room
from appliance.fit.shape import LABELS
from appliance.fit.sizing import Candidate
from appliance.fit.wish import AUTO, Wish


def explain(
    chosen: Candidate,
    passed_over: Sequence[Candidate],
    room: Room,
    wish: Wish,
    hardware: Hardware,
) -> tuple[Reason, ...]:
    """Every decision of a plan, in the order in which a reader asks."""
    return (
        _model(chosen, wish),
        *_passed_over(passed_over, chosen),
        _precision(chosen),
        *device(chosen.place, hardware),
        memory(chosen, room),
        _context(chosen, room, wish),
        _concurrency(chosen, room, wish),
        *disk(chosen, hardware),
    )


def _model(chosen: Candidate, wish: Wish) -> Reason:
    values = {"model": chosen.entry.name}
    if chosen.entry.id == DEMO and wish.model != DEMO:
        text = (
            "The demo model %(model)s answers: it comes with the installation and runs anywhere, "
            "but it is no clever assistant."
        )
        return Reason("model", Phrase(text, values))
    if wish.model == AUTO:
        return Reason("model", Phrase("%(model)s is the best model that fits.", values))
    return Reason("model", Phrase("%(model)s is what you asked for.", values))


def _passed_over(passed: Sequence[Candidate], chosen: Candidate) -> Iterator[Reason]:
    """Each better model once, at its smallest; the chosen model in each finer precision."""
    smallest = {one.entry.id: one for one in passed if one.entry is not chosen.entry}
    finer = [one for one in passed if one.entry is chosen.entry]
    for one in [*smallest.values(), *finer]:
        subject = "precision" if one.entry is chosen.entry else "model"
        yield Reason(subject, _shortfall(one))


def _shortfall(candidate: Candidate) -> Phrase:
    values = {
        "model": candidate.entry.name,
        "precision": LABELS[candidate.precision],
        "need": gib(candidate.weight_bytes + candidate.beside_weights(0)),
        "budget": gib(candidate.place.budget_bytes),
        "tokens": f"{candidate.room_tokens:,}",
        "wanted": f"{candidate.needed_tokens:,}",
    }
    if candidate.room_tokens == 0:
        text = (
            "%(model)s in %(precision)s needs %(need)s before its KV cache; %(budget)s may be used."
        )
        return Phrase(text, values)
    return Phrase(
        "%(model)s in %(precision)s would leave room for %(tokens)s tokens of KV cache; at least "
        "%(wanted)s are wanted.",
        values,
    )


def _precision(chosen: Candidate) -> Reason:
    values = {"weights": gib(chosen.weight_bytes), "source": chosen.source.location}
    match chosen.precision:
        case "bf16" | "fp16":
            text = "The weights take %(weights)s in 16-bit, as they were published."
        case "fp32":
            text = "The weights take %(weights)s in 32-bit, in which most CPUs compute fastest."
        case "int8":
            text = "The weights take %(weights)s in int8, which costs very little quality."
        case "nf4":
            text = "The weights take %(weights)s in nf4, which costs some quality."
        case "fp8":
            text = (
                "The weights take %(weights)s in 8-bit floats, in which this card computes twice "
                "as fast; they come quantised from the model's makers (%(source)s)."
            )
        case "awq":
            text = (
                "The weights take %(weights)s in 4 bits, which costs some quality; they come "
                "quantised from the model's makers (%(source)s)."
            )
        case _:
            text = "The weights take %(weights)s, as the GGUF file packs them."
    return Reason("precision", Phrase(text, values))


def _context(chosen: Candidate, room: Room, wish: Wish) -> Reason:
    values = {
        "context": f"{room.context_length:,}",
        "native": f"{chosen.entry.context_native:,}",
        "most": f"{chosen.entry.context_limit:,}",
        "wished": f"{wish.context_length or 0:,}",
        "factor": f"{room.yarn_factor or 1:g}",
    }
    if room.yarn_factor is not None:
        text = (
            "The context of %(context)s tokens is longer than the %(native)s for which the model "
            "was trained: YaRN stretches it %(factor)s times, which can cost some quality in short "
            "texts."
        )
    elif wish.context_length == room.context_length:
        text = "The context of %(context)s tokens is what you asked for."
    elif wish.context_length is not None:
        text = "You asked for a context of %(wished)s tokens; this model ends at %(most)s."
    elif room.context_length < chosen.entry.context_native:
        text = (
            "The context is %(context)s tokens, all that the KV cache holds; the model could read "
            "%(native)s."
        )
    else:
        text = "The context is %(context)s tokens, for which the model was trained."
    return Reason("context", Phrase(text, values))


def _concurrency(chosen: Candidate, room: Room, wish: Wish) -> Reason:
    values = {
        "tokens": f"{room.kv_tokens:,}",
        "size": gib(chosen.cache_bytes(room.kv_tokens, room.max_concurrency)),
        "places": room.max_concurrency,
    }
    if wish.max_concurrency is not None:
        text = (
            "The KV cache holds %(tokens)s tokens (%(size)s), shared by the %(places)s requests "
            "at once that you asked for."
        )
    else:
        text = (
            "The KV cache holds %(tokens)s tokens (%(size)s), shared by up to %(places)s "
            "requests at once."
        )
    return Reason("concurrency", Phrase(text, values))


def hub_unreachable(model: str) -> Reason:
    text = (
        "The hub is out of reach, so %(model)s cannot be fetched: connect to the network, or in "
        "mainland China give --hub-endpoint modelscope, and start again."
    )
    return Reason("model", Phrase(text, {"model": model}))


def remote() -> Reason:
    text = "Another server runs the model: it decides model, precision and memory."
    return Reason("engine", Phrase(text))
