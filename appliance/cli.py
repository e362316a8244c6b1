"""The commands. Each does its work elsewhere; this file turns words into calls."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import typer

from appliance.cli_engine import engine
from appliance.cli_invite import invite
from appliance.cli_keys import keys
from appliance.cli_ledger import backup, doctor
from appliance.cli_replay import replay
from appliance.errors import ApplianceError, SetupError
from appliance.flags import merged_flags, takes_settings
from appliance.settings import load_settings

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Your own AI service: pages, APIs and a ledger around a model that fits your card.",
)
keys.command("invite")(invite)
app.add_typer(keys, name="keys")
app.add_typer(engine, name="engine")
app.command("backup")(backup)
app.command("replay")(replay)
app.command("doctor")(doctor)


@app.callback(invoke_without_command=True)
@takes_settings()
def root(context: typer.Context, **flags: Any) -> None:
    """Without a command: serve."""
    context.obj = {name: value for name, value in flags.items() if value not in (None, [])}
    if context.invoked_subcommand is None:
        _serve(context.obj)


@app.command()
@takes_settings()
def serve(context: typer.Context, **flags: Any) -> None:
    """Start the appliance: pages, APIs, engine and ledger."""
    _serve(merged_flags(context, flags))


@app.command("plan")
@takes_settings(
    "data_dir", "model", "precision", "engine", "context_length", "max_concurrency", "hub_endpoint"
)
def plan_command(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    **flags: Any,
) -> None:
    """Show what fits this machine, and why."""
    from appliance.fit.report import plan_report
    from appliance.serve import wish_of

    settings = load_settings(merged_flags(context, flags))
    wish, hub = wish_of(settings), settings.hub_endpoint
    typer.echo(plan_report(settings.data_dir, wish, as_json, hub_endpoint=hub))


@app.command("bench")
@takes_settings("port")
def bench_command(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Default: this machine's appliance.")] = None,
    key: Annotated[str | None, typer.Option(help="API key for that server.")] = None,
    model: Annotated[str | None, typer.Option(help="Default: the first it lists.")] = None,
    concurrency: Annotated[
        str, typer.Option("--streams", "--concurrency", help="Streams at once, each in turn.")
    ] = "1,4,16",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of each answer.")] = 64,
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="About, of each prompt.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    **flags: Any,
) -> None:
    """Measure an OpenAI-compatible server: this one, or a peer."""
    from appliance.bench import bench, render, to_json

    target = url or f"http://127.0.0.1:{load_settings(merged_flags(context, flags)).port}"
    work = partial(
        bench,
        target,
        key=key,
        model=model,
        concurrency=whole_numbers(concurrency),
        max_tokens=max_tokens,
        prompt_tokens=prompt_tokens,
        progress=None if as_json else partial(typer.echo, err=True),
    )
    result = anyio.run(work)
    typer.echo(to_json(result) if as_json else render(result))


def whole_numbers(text: str) -> list[int]:
    """`1,4,16` as numbers above 0. Raises SetupError otherwise."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise SetupError(
            "Give whole numbers above 0 with commas, such as 1,4,16; this was %(text)s.",
            text=repr(text),
        )
    return [int(part) for part in parts]


def main() -> None:
    """Run a command; what the user can mend is a sentence, not a traceback."""
    try:
        app(prog_name="launcher.py")
    except ApplianceError as error:
        typer.echo(error, err=True)
        sys.exit(1)


def _serve(flags: dict[str, Any]) -> None:
    from appliance.serve import serve as run

    run(load_settings(flags))


if __name__ == "__main__":
    main()
