"""`engine`: commands to the appliance that runs now, over its own address."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from appliance.cli_running import AdminKey, Running
from appliance.flags import merged_flags, takes_settings
from appliance.settings import load_settings

LOOK_EVERY_SECONDS = 0.5
# An answer to `unload` waits for running answers to end.
ANSWER_SECONDS = 60.0
ON_THE_WAY = ("starting", "loading", "restarting", "unloading")

engine = typer.Typer(
    help="The engine of the running appliance: unload it for a game, load it again.",
    no_args_is_help=True,
)
Status = dict[str, Any]


@engine.command()
@takes_settings("data_dir")
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    key: AdminKey = None,
    **flags: Any,
) -> None:
    """Show how the engine is."""
    with _running(context, flags, key) as appliance:
        found = appliance.ask("GET", "/engine")
    typer.echo(json.dumps(found, indent=2) if as_json else in_words(found))


@engine.command()
@takes_settings("data_dir")
def unload(context: typer.Context, key: AdminKey = None, **flags: Any) -> None:
    """Let running answers end and give back all memory; `load` brings it back."""
    with _running(context, flags, key) as appliance:
        typer.echo(in_words(appliance.ask("POST", "/engine/unload")))


@engine.command()
@takes_settings("data_dir")
def load(context: typer.Context, key: AdminKey = None, **flags: Any) -> None:
    """Load the model again, and wait until it answers."""
    with _running(context, flags, key) as appliance:
        _until_settled(appliance, "load")


@engine.command()
@takes_settings("data_dir")
def restart(context: typer.Context, key: AdminKey = None, **flags: Any) -> None:
    """End the engine process and start it anew; running answers are cut off."""
    with _running(context, flags, key) as appliance:
        _until_settled(appliance, "restart")


def in_words(status: Status) -> str:
    """One engine's status, a fact a line."""
    facts = status.get("facts")
    lines = [f"Engine: {status['phase']}"]
    if status.get("percent") is not None:
        lines[0] += f" ({status['stage']}, {status['percent']} %)"
    lines += [str(status[name]) for name in ("reason", "notice") if status.get(name)]
    if facts:
        lines.append(f"Model: {facts['model']} ({facts['precision']}, {facts['backend']})")
    if status.get("restarts"):
        lines.append(f"Restarts: {status['restarts']}")
    lines += [f"  {one['at']}  {one['reason']}" for one in status.get("incidents", ())]
    return "\n".join(lines)


def _until_settled(appliance: Running, order: str) -> None:
    """Give the order, tell each change, and fail when the engine does."""
    status, said = appliance.ask("POST", f"/engine/{order}"), ""
    while True:
        if (words := in_words(status)) != said:
            typer.echo(words)
            said = words
        if status["phase"] not in ON_THE_WAY:
            break
        time.sleep(LOOK_EVERY_SECONDS)
        status = appliance.ask("GET", "/engine")
    if status["phase"] != "ready":
        raise typer.Exit(1)


def _running(context: typer.Context, flags: dict[str, Any], key: str | None) -> Running:
    settings = load_settings(merged_flags(context, flags))
    return Running(settings.data_dir, key, ANSWER_SECONDS)
