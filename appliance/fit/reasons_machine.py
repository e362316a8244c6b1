"""What the machine has to do with a plan: its cards, memory and disk, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.domain import Phrase
from appliance.fit.decision import Reason
from appliance.fit.hardware import Hardware, gib, obstacle
from appliance.fit.room import Room
from appliance.fit.sizing import Candidate, Place


def device(place: Place, hardware: Hardware) -> Iterator[Reason]:
    for notice in hardware.notices:
        yield Reason("driver", notice)
    for gpu in hardware.gpus:
        problem = obstacle(gpu)
        if problem is not None:
            yield Reason("driver", problem)
    if place.gpu is None:
        text = "It runs on the CPU (%(cores)s cores) with %(engine)s."
        values: dict[str, object] = {"cores": hardware.cores_physical, "engine": place.engine}
        yield Reason("device", Phrase(text, values))
        return
    if len(hardware.gpus) > 1:
        text = "Of %(count)s cards, %(card)s has the most free memory of those that can be used."
        yield Reason("device", Phrase(text, {"count": len(hardware.gpus), "card": place.gpu.name}))
    if place.engine == "vllm":
        text = "It runs on %(card)s with vLLM, which leaves the rest of the card to the display."
    else:
        text = "It runs on %(card)s with %(engine)s."
    yield Reason("device", Phrase(text, {"card": place.gpu.name, "engine": place.engine}))


def memory(chosen: Candidate, room: Room) -> Reason:
    place = chosen.place
    overhead = chosen.overhead_bytes(room.kv_tokens, room.max_concurrency)
    return Reason(
        "memory",
        Phrase(
            "%(free)s are free now. %(margin)s stay free for the rest of the machine and "
            "%(overhead)s are for the engine itself; weights and KV cache share the other "
            "%(rest)s.",
            {
                "free": gib(place.free_bytes),
                "margin": gib(place.margin_bytes),
                "overhead": gib(overhead),
                "rest": gib(max(0, place.budget_bytes - overhead)),
            },
        ),
    )


def disk(chosen: Candidate, hardware: Hardware) -> Iterator[Reason]:
    """A hub model is downloaded in 16-bit, unless its makers offer it quantised."""
    packed = chosen.precision in ("fp8", "awq")
    download = chosen.weight_bytes if packed else chosen.entry.shape.weight_bytes("bf16")
    if chosen.source.kind != "hub" or hardware.disk_free_bytes >= download:
        return
    text = (
        "The download takes %(need)s and %(free)s are free on the disk: unless the model is "
        "there already, make room first."
    )
    values = {"need": gib(download), "free": gib(hardware.disk_free_bytes)}
    yield Reason("disk", Phrase(text, values))
