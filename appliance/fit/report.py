"""`launcher.py plan`: what fits this machine and why, beside what would fit other cards."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import SetupError
from appliance.fit.catalogue import Catalogue, load_catalogue
from appliance.fit.decision import Plan
from appliance.fit.describe import FileFinder
from appliance.fit.hardware import GIB, REQUIRED_CUDA, REQUIRED_DRIVER, Gpu, Hardware, gib
from appliance.fit.hub_files import HubFiles
from appliance.fit.plan import plan
from appliance.fit.probe import probe
from appliance.fit.shape import LABELS
from appliance.fit.wish import AUTO, Wish

CARDS_GIB = (8, 12, 16, 24)
DISPLAY_BYTES = 7 * GIB // 10
"""What a desktop with a browser typically holds on the card that draws it."""
WIDTH = 80

_COLUMNS = ("", "model", "format", "weights", "KV tokens", "context", "at once")
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """One machine of the table: its plan, or why there is none."""

    label: str
    plan: Plan | None
    refusal: SetupError | None = None


def plan_report(
    data_dir: Path, wish: Wish, as_json: bool, *, hub_endpoint: str | None = None
) -> str:
    """The whole output of the command. `hub_endpoint` is where an unknown model is looked up.

    A wish that this machine cannot meet is reported like any plan; a wish that makes no sense
    anywhere (an unknown model) raises SetupError.
    """
    wish.check()
    hardware, catalogue = probe(data_dir), load_catalogue()
    lines = compare(hardware, wish, catalogue, HubFiles(hub_endpoint))
    return to_json(hardware, lines) if as_json else render_text(hardware, lines)


def compare(
    hardware: Hardware, wish: Wish, catalogue: Catalogue, find_config: FileFinder
) -> tuple[Line, ...]:
    """This machine first, then the same machine with a card of each common size.

    Who asks for vLLM also sees what our own engine would do here. Raises SetupError for a wish
    that is wrong everywhere, whatever the machine.
    """
    lines = [_line("here", hardware, wish, catalogue, find_config)]
    if wish.engine == "remote":
        return tuple(lines)
    for size in CARDS_GIB:
        # A machine with a card gets PyTorch, whatever this one has.
        simulated = replace(hardware, gpus=(simulated_gpu(size),), notices=(), has_torch=True)
        lines.append(_line(f"{size} GB card", simulated, wish, catalogue, find_config))
    refusals = {str(line.refusal) for line in lines}
    if len(refusals) == 1 and lines[0].refusal is not None:
        raise lines[0].refusal
    if wish.engine == "vllm":
        own = replace(wish, engine=AUTO, precision=AUTO)
        lines.insert(1, _line("own engine", hardware, own, catalogue, find_config))
    return tuple(lines)


def simulated_gpu(size_gib: int) -> Gpu:
    """A current card of this size that also draws a desktop."""
    return Gpu(
        index=0,
        name=f"{size_gib} GB card",
        total_bytes=size_gib * GIB,
        free_bytes=size_gib * GIB - DISPLAY_BYTES,
        compute_capability=(8, 9),
        driver_version=f"{REQUIRED_DRIVER}.0",
        cuda_driver=REQUIRED_CUDA,
    )


def render_text(hardware: Hardware, lines: tuple[Line, ...]) -> str:
    """Plain text for a terminal of 80 columns."""
    parts = [describe_hardware(hardware), _table(lines), _explanation(lines[0])]
    return "\n\n".join(parts)


def to_json(hardware: Hardware, lines: tuple[Line, ...]) -> str:
    """The same for programs, with all plans in full; sizes in bytes and tokens."""
    machines = [
        {
            "machine": line.label,
            "plan": line.plan.to_dict() if line.plan else None,
            "refusal": str(line.refusal) if line.refusal else None,
        }
        for line in lines
    ]
    return json.dumps({"hardware": hardware.to_dict(), "machines": machines}, indent=2)


def describe_hardware(hardware: Hardware) -> str:
    """The machine in a few lines."""
    cards = [
        f"{gpu.name}, {gib(gpu.total_bytes)} ({gib(gpu.free_bytes)} free), "
        f"driver {gpu.driver_version}"
        for gpu in hardware.gpus
    ]
    memory = f"{gib(hardware.ram_total_bytes)} ({gib(hardware.ram_available_bytes)} available)"
    cores = f"{hardware.cores_physical} cores, {hardware.cores_logical} threads"
    rows = [("Card", card) for card in cards or ["none that can be asked"]]
    rows += [("Memory", memory), ("CPU", f"{cores}, {hardware.machine}")]
    rows += [("Disk", f"{gib(hardware.disk_free_bytes)} free")]
    return "\n".join(f"{name:<8}{value}" for name, value in rows)


def _line(
    label: str,
    hardware: Hardware,
    wish: Wish,
    catalogue: Catalogue,
    find_config: FileFinder,
) -> Line:
    try:
        return Line(label, plan(hardware, wish, catalogue, find_config=find_config))
    except SetupError as refusal:
        return Line(label, None, refusal)


def _table(lines: tuple[Line, ...]) -> str:
    rows = [_COLUMNS, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    # Words read from the left, numbers line up at the right.
    text = [
        _GAP.join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "─" * max(len(row) for row in text)
    table = [text[0], rule, text[1], rule, *text[2:]]
    if len(lines) > 1:
        table.append(f"(the cards are examples, each with {gib(DISPLAY_BYTES)} taken by a desktop)")
    return "\n".join(table)


def _cells(line: Line) -> tuple[str, ...]:
    chosen = line.plan
    if chosen is None:
        return (line.label, "does not fit", "", "", "", "", "")
    if chosen.precision is None:
        return (line.label, chosen.model, "remote", "", "", "", "")
    return (
        line.label,
        _shortened(chosen.model),
        chosen.precision,
        gib(chosen.weight_bytes),
        f"{chosen.kv_tokens:,}",
        f"{chosen.context_length:,}",
        str(chosen.max_concurrency),
    )


def _shortened(name: str, most: int = 21) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _explanation(line: Line) -> str:
    if line.plan is None:
        return "Not possible here:\n" + _bullet(str(line.refusal))
    why = "\n".join(_bullet(str(reason.phrase)) for reason in line.plan.reasons)
    text = "Why, on this machine:\n" + why
    names = [f"{one.model} {_place(one)}" for one in line.plan.fallbacks]
    return text + (
        "\n" + _bullet("If loading fails: " + ", then ".join(names) + ".") if names else ""
    )


def _place(chosen: Plan) -> str:
    precision = LABELS[chosen.precision] if chosen.precision else ""
    where = "CPU" if chosen.gpu is None else "card"
    return f"({precision}, {chosen.engine}, {where})"


def _bullet(text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="  • ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
