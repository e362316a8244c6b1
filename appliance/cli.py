"""The commands. Each does its work elsewhere; this file turns words into calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import typer

from appliance.cli_engine import engine
from appliance.errors import ApplianceError, SetupError
from appliance.flags import merged_flags, takes_settings
from appliance.settings import Settings, load_settings

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Your own AI service: pages, APIs and a ledger around a model that fits your card.",
)
keys = typer.Typer(help="Named API keys for team-mates and programs.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(engine, name="engine")


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


@keys.command("create")
@takes_settings("data_dir", "database_url")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what the key is for.")],
    expires: Annotated[str | None, typer.Option(help="Lifetime, such as 30d or 12h.")] = None,
    rate: Annotated[str | None, typer.Option(help="Requests allowed, such as 60/minute.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May manage keys and the engine.")] = False,
    **flags: Any,
) -> None:
    """Make a key. Its secret is shown once, now."""
    until = None if expires is None else datetime.now(UTC) + lifetime(expires)
    from appliance.cli_keys import create

    made = _run(context, flags, lambda s: create(s, name, until, rate, admin))
    typer.echo(made)


@keys.command("list")
@takes_settings("data_dir", "database_url")
def list_keys(context: typer.Context, **flags: Any) -> None:
    """Show all keys; no secrets, since none are stored."""
    from appliance.cli_keys import table

    typer.echo(_run(context, flags, table))


@keys.command("revoke")
@takes_settings("data_dir", "database_url")
def revoke_key(
    context: typer.Context, name: Annotated[str, typer.Argument()], **flags: Any
) -> None:
    """End a key at once."""
    from appliance.cli_keys import revoke

    typer.echo(_run(context, flags, lambda s: revoke(s, name)))


@app.command()
@takes_settings("data_dir", "database_url")
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to put the copy; must not exist.")],
    **flags: Any,
) -> None:
    """Copy the database while the appliance runs."""
    from appliance.ledger.backup import backup as copy

    settings = load_settings(merged_flags(context, flags))
    copy(settings.effective_database_url, file)
    typer.echo(f"Copied to {file}.")


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


def lifetime(text: str) -> timedelta:
    """`30d`, `12h` or `45m` as a duration. Raises SetupError otherwise."""
    units = {"d": "days", "h": "hours", "m": "minutes"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal() or int(number) == 0:
        raise SetupError(
            "A lifetime is a number and d, h or m, such as 30d; this was %(text)s.",
            text=repr(text),
        )
    try:
        return timedelta(**{units[unit]: int(number)})
    except OverflowError:
        raise SetupError("A lifetime of %(text)s is too long.", text=text) from None


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


def _run(context: typer.Context, flags: dict[str, Any], work: Callable[[Settings], Any]) -> Any:
    settings = load_settings(merged_flags(context, flags))
    return anyio.run(work, settings)


if __name__ == "__main__":
    main()
