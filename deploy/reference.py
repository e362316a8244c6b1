"""Prints the reference parts of the documentation from the code: settings, routes and metrics.

    python deploy/reference.py            check docs/; exit status 1 when they differ
    python deploy/reference.py --write    write them

A file keeps what stands outside its two marker lines.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import Metric

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from appliance.app import create_app  # noqa: E402 - the path comes first
from appliance.engines import make_engine  # noqa: E402
from appliance.fit.catalogue import load_catalogue  # noqa: E402
from appliance.fit.plan import Wish, plan  # noqa: E402
from appliance.fit.probe import probe  # noqa: E402
from appliance.flags import flag_of, variable_of  # noqa: E402
from appliance.folder import DataFolder  # noqa: E402
from appliance.observability.exposition import Exposition  # noqa: E402
from appliance.observability.gpu import GpuReading, Gpus  # noqa: E402
from appliance.observability.metrics import Metrics  # noqa: E402
from appliance.observability.readings import EngineReading, LedgerReading, Readings  # noqa: E402
from appliance.settings import Settings, load_settings  # noqa: E402

BEGIN, END = "<!-- generated: do not edit -->", "<!-- end of generated -->"


def settings_table() -> str:
    lines = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "", ()) else f"`{_plain(field.default)}`"
        lines.append(
            f"| `{flag_of(name)}` | `{variable_of(name)}` | {default} | {field.description} |"
        )
    return "\n".join(lines)


def routes_table() -> str:
    lines = ["| route | does |", "|---|---|"]
    for path, methods in sorted(_schema()["paths"].items()):
        for method, operation in methods.items():
            text = operation.get("description") or operation.get("summary", "")
            lines.append(f"| `{method.upper()} {path}` | {' '.join(text.split())} |")
    return "\n".join(lines)


def metrics_table() -> str:
    lines = ["| metric | type | meaning |", "|---|---|---|"]
    for family in measured():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        lines.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return "\n".join(lines)


GENERATED = {
    "docs/settings.md": settings_table,
    "docs/api.md": routes_table,
    "docs/metrics.md": metrics_table,
}


def regenerated(file: Path, table: str) -> str:
    """The file's text with the generated part made anew."""
    text = file.read_text(encoding="utf-8")
    part = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not part.search(text):
        raise SystemExit(f"{file} has no generated part between {BEGIN} and {END}")
    return part.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", text)


def main(write: bool) -> int:
    stale = []
    for name, make in GENERATED.items():
        file = ROOT / name
        fresh = regenerated(file, make())
        if fresh != file.read_text(encoding="utf-8"):
            stale.append(name)
            if write:
                file.write_text(fresh, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'written' if write else 'is not what the code says'}")
    return 1 if stale and not write else 0


def measured() -> list[Metric]:
    """Every family that an appliance may tell: with a card, a cache, a collector and an engine."""
    card = GpuReading(
        index=0,
        name="card",
        utilization=0.0,
        memory_used=0.0,
        memory_total=0.0,
        power=0.0,
        temperature=0.0,
        energy=0.0,
    )
    engine = EngineReading(
        phase="ready",
        answers=True,
        restarts=0,
        model="model",
        kv_usage=0.0,
        load_seconds=0.0,
        context_tokens=0,
        kv_tokens=0,
    )
    readings = Readings(
        version="",
        queue_running=0,
        queue_waiting=0,
        queue_places=0,
        cache_entries=0,
        cache_bytes=0,
        engine=engine,
        ledger=LedgerReading(),
        fronts=1,
        data_dir=ROOT,
        spans_sent=0,
        spans_lost=0,
    )
    gpus = Gpus()
    gpus.read = lambda: (card,)  # type: ignore[method-assign]
    return sorted(Exposition(Metrics(), gpus).families(readings), key=lambda one: one.name)


def _plain(default: object) -> str:
    if isinstance(default, Path):
        return default.name
    return str(default).lower() if isinstance(default, bool) else str(default)


def _schema() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"data_dir": folder}, {})
        data = DataFolder(settings.data_dir)
        data.open("")
        decision = plan(probe(data.path), Wish(), load_catalogue())
        app: Any = create_app(settings, data, decision, make_engine(settings, data, decision))
        while not isinstance(app, FastAPI):  # inside of its middleware
            app = app.app
        schema: dict[str, Any] = app.openapi()
        data.close()
        return schema


if __name__ == "__main__":
    raise SystemExit(main("--write" in sys.argv[1:]))
