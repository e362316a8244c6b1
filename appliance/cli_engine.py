"""`engine`: commands to the appliance that runs now, over its own address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from appliance.errors import SetupError
from appliance.flags import merged_flags, takes_settings
from appliance.folder import DataFolder
from appliance.lan.tls import client_context
from appliance.settings import load_settings

LOOK_EVERY_SECONDS = 0.5
# An answer to `unload` waits for running answers to end.
ANSWER_SECONDS = 60.0
ON_THE_WAY = ("starting", "loading", "restarting", "unloading")

engine = typer.Typer(
    help="The engine of the running appliance: unload it for a game, load it again.",
    no_args_is_help=True,
)
KeyOption = Annotated[str | None, typer.Option(help="An admin key, where this machine needs one.")]
Status = dict[str, Any]


@engine.command()
@takes_settings("data_dir")
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    key: KeyOption = None,
    **flags: Any,
) -> None:
    """Show how the engine is."""
    found = _caller(context, flags, key)("GET", "")
    typer.echo(json.dumps(found, indent=2) if as_json else in_words(found))


@engine.command()
@takes_settings("data_dir")
def unload(context: typer.Context, key: KeyOption = None, **flags: Any) -> None:
    """Let running answers end and give back all memory; `load` brings it back."""
    typer.echo(in_words(_caller(context, flags, key)("POST", "/unload")))


@engine.command()
@takes_settings("data_dir")
def load(context: typer.Context, key: KeyOption = None, **flags: Any) -> None:
    """Load the model again, and wait until it answers."""
    _until_settled(_caller(context, flags, key), "/load")


@engine.command()
@takes_settings("data_dir")
def restart(context: typer.Context, key: KeyOption = None, **flags: Any) -> None:
    """End the engine process and start it anew; running answers are cut off."""
    _until_settled(_caller(context, flags, key), "/restart")


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


def _until_settled(call: Callable[[str, str], Status], order: str) -> None:
    """Give the order, tell each change, and fail when the engine does."""
    status, said = call("POST", order), ""
    while True:
        if (words := in_words(status)) != said:
            typer.echo(words)
            said = words
        if status["phase"] not in ON_THE_WAY:
            break
        time.sleep(LOOK_EVERY_SECONDS)
        status = call("GET", "")
    if status["phase"] != "ready":
        raise typer.Exit(1)


def _caller(
    context: typer.Context, flags: dict[str, Any], key: str | None
) -> Callable[[str, str], Status]:
    """Calls `/admin/engine…` of the appliance on the data folder. Raises SetupError."""
    import httpx2

    settings = load_settings(merged_flags(context, flags))
    folder = DataFolder(settings.data_dir)
    url = folder.holder_url()
    trusted = client_context(folder.authority()) if url and url.startswith("https") else True
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def call(method: str, path: str) -> Status:
        if url is None:
            raise _not_running(settings.data_dir)
        try:
            answer = httpx2.request(
                method,
                f"{url}/admin/engine{path}",
                headers=headers,
                timeout=ANSWER_SECONDS,
                trust_env=False,
                verify=trusted,
            )
        except httpx2.HTTPError:
            raise _not_running(settings.data_dir) from None
        body: Status = answer.json()
        if answer.is_error:
            raise SetupError("%(detail)s", detail=body.get("detail", answer.text))
        return body

    return call


def _not_running(folder: object) -> SetupError:
    return SetupError(
        "No appliance runs on %(folder)s. Start it with launcher.py, or name its folder with "
        "--data-dir.",
        folder=folder,
    )
