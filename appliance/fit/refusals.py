"""Why the planner refuses a wish: errors with the numbers and with what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from appliance.errors import SetupError
from appliance.fit.candidates import VLLM_PLATFORM, ways
from appliance.fit.catalogue import ModelEntry
from appliance.fit.hardware import FP8_CAPABILITY, Gpu, Hardware, dotted, gib
from appliance.fit.shape import LABELS
from appliance.fit.sizing import Candidate
from appliance.fit.wish import AUTO, Wish


def context_too_long(entry: ModelEntry, wished: int) -> SetupError:
    if entry.yarn_max:
        text = (
            "A context of %(wished)s tokens is more than %(model)s can read: it was trained for "
            "%(native)s, and YaRN stretches that to at most %(most)s. Lower --context-length."
        )
    else:
        text = (
            "A context of %(wished)s tokens is more than %(model)s can read (%(most)s): lower "
            "--context-length."
        )
    return SetupError(
        text,
        param="context_length",
        wished=f"{wished:,}",
        model=entry.name,
        native=f"{entry.context_native:,}",
        most=f"{entry.context_limit:,}",
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


def impossible(wish: Wish, entry: ModelEntry, hardware: Hardware, gpu: Gpu | None) -> SetupError:
    """No engine here can do it at all, whatever the memory."""
    if wish.engine == "vllm":
        return _not_with_vllm(wish, entry, hardware, gpu)
    with_torch = replace(hardware, has_torch=True)
    if hardware != with_torch and (
        wish.engine == "transformers" or any(ways(entry, wish, with_torch))
    ):
        return SetupError(
            "This needs PyTorch, which set-up could not get. Delete .venv and start again with a "
            "network; without it, engine openvino runs the demo model and GGUF files.",
            param="engine",
        )
    if entry.packed is not None:
        return already_quantised(entry.name, LABELS[entry.packed])
    if wish.engine == "openvino" and wish.model != AUTO and not entry.is_gguf:
        return SetupError(
            "Engine openvino reads GGUF files, and %(model)s is none: name a .gguf file or the "
            "demo model, or leave the engine to us.",
            param="engine",
            model=entry.name,
        )
    if wish.precision in ("fp8", "awq"):
        return SetupError(
            "Precision %(precision)s is for engine vllm: add --engine vllm, or leave the "
            "precision to us.",
            param="precision",
            precision=wish.precision,
        )
    return SetupError(
        "Precision %(precision)s is not possible here: int8 and nf4 need an NVIDIA "
        "card, and a GGUF file on engine openvino keeps its own precision.",
        param="precision",
        precision=wish.precision,
    )


def already_quantised(model: str, method: str) -> SetupError:
    return SetupError(
        "%(model)s is already quantised (%(method)s): name the 16-bit model instead, and it "
        "is quantised while loading if the card needs that.",
        param="model",
        model=model,
        method=method,
    )


def _not_with_vllm(
    wish: Wish, entry: ModelEntry, hardware: Hardware, gpu: Gpu | None
) -> SetupError:
    if hardware.platform != VLLM_PLATFORM:
        return SetupError(
            "vLLM runs on Linux only (on Windows inside WSL 2): leave the engine to us, or give "
            "the address of a vLLM server with --engine remote --engine-url.",
            param="engine",
        )
    if gpu is None and wish.model == AUTO:
        return SetupError(
            "Engine vllm has no NVIDIA card here, and on a CPU it runs in 16bit only: leave the "
            "precision to us, or the engine.",
            param="engine",
        )
    wants_fp8 = "fp8" in (wish.precision, entry.packed)
    if gpu is not None and wants_fp8 and not gpu.has_fp8:
        return SetupError(
            "%(card)s has no 8-bit floats: its compute capability is %(found)s, and fp8 needs "
            "%(required)s (RTX 40 series) or newer.",
            param="precision",
            card=gpu.name,
            found=dotted(gpu.compute_capability),
            required=dotted(FP8_CAPABILITY),
        )
    return SetupError(
        "Engine vllm cannot run %(model)s with precision %(precision)s: it reads hub "
        "ids and folders, in 16bit; on a card also in nf4, and in fp8 and awq where the model's "
        "makers offer them.",
        param="engine",
        model=entry.name,
        precision=wish.precision,
    )
