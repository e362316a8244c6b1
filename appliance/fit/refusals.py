"""Why the planner refuses a wish: errors with the numbers and with what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.errors import SetupError
from appliance.fit.catalogue import ModelEntry
from appliance.fit.hardware import gib
from appliance.fit.shape import LABELS
from appliance.fit.sizing import Candidate
from appliance.fit.wish import AUTO, Wish


def context_too_long(entry: ModelEntry, wished: int) -> SetupError:
    return SetupError(
        "A context of %(wished)s tokens is more than %(model)s can read (%(most)s): lower "
        "--context-length.",
        param="context_length",
        wished=f"{wished:,}",
        model=entry.name,
        most=f"{entry.context_max:,}",
    )


def too_large(options: Sequence[Candidate]) -> SetupError:
    """None of the allowed ways fits: says what the lightest of them would take."""
    lightest = min(options, key=lambda option: option.least_bytes)
    place = lightest.place
    return SetupError(
        "%(precision)s of %(model)s needs %(need)s with a KV cache of %(tokens)s tokens; "
        "%(budget)s of the %(free)s free on %(device)s may be used. Close other programs, or ask "
        "for a smaller model, precision or --context-length.",
        param="model",
        precision=LABELS[lightest.precision],
        model=lightest.entry.name,
        need=gib(lightest.least_bytes),
        tokens=f"{lightest.needed_tokens:,}",
        budget=gib(place.budget_bytes),
        free=gib(place.free_bytes),
        device=place.gpu.name if place.gpu else "this machine",
    )


def impossible(wish: Wish, entry: ModelEntry, has_card: bool) -> SetupError:
    """No engine here can do it at all, whatever the memory."""
    if wish.engine == "openvino" and wish.model != AUTO and not entry.is_gguf:
        return SetupError(
            "Engine openvino reads GGUF files, and %(model)s is none: name a .gguf file or the "
            "demo model, or leave the engine to us.",
            param="engine",
            model=entry.name,
        )
    if wish.engine == "vllm" and has_card:
        return SetupError(
            "Engine vllm cannot run %(model)s with precision %(precision)s: it reads hub ids and "
            "folders, in 16bit or nf4.",
            param="engine",
            model=entry.name,
            precision=wish.precision,
        )
    if wish.engine == "vllm":
        return SetupError(
            "Engine vllm needs an NVIDIA card that can be used, and there is none here.",
            param="engine",
        )
    return SetupError(
        "Precision %(precision)s is not possible here: int8 and nf4 need an NVIDIA "
        "card, and a GGUF file on engine openvino keeps its own precision.",
        param="precision",
        precision=wish.precision,
    )
