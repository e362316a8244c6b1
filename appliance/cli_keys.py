"""`keys`: named keys for team-mates and programs, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import anyio
import typer

from appliance.flags import merged_flags, takes_settings
from appliance.key_flags import OPTIONS, lifetime, rules_of, takes_rules
from appliance.settings import Settings, load_settings

keys = typer.Typer(help="Named API keys for team-mates and programs.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Who or what the key is for.")]


@keys.command("create")
@takes_rules
@takes_settings("data_dir", "database_url")
def create_key(context: typer.Context, name: Name, **flags: Any) -> None:
    """Make a key. Its secret is shown once, now."""
    from appliance.cli_key_store import create

    rules = rules_of(flags)
    typer.echo(run(context, flags, lambda s: create(s, name, rules)))


@keys.command("list")
@takes_settings("data_dir", "database_url")
def list_keys(context: typer.Context, **flags: Any) -> None:
    """Show all keys; no secrets, since none are stored."""
    from appliance.cli_key_store import table

    typer.echo(run(context, flags, table))


@keys.command("show")
@takes_settings("data_dir", "database_url")
def show_key(context: typer.Context, name: Name, **flags: Any) -> None:
    """Show what a key may do, and what it was used for in the last 30 days."""
    from appliance.cli_key_store import show

    typer.echo(run(context, flags, lambda s: show(s, name)))


@keys.command("change")
@takes_rules
@takes_settings("data_dir", "database_url")
def change_key(
    context: typer.Context,
    name: Name,
    without: Annotated[
        list[str] | None, typer.Option(help="A limit to take away, such as rate; may be repeated.")
    ] = None,
    **flags: Any,
) -> None:
    """Change what a key may do; it holds at once, and what is not named stays."""
    from appliance.cli_key_store import change

    rules = rules_of(flags, tuple(without or ()))
    typer.echo(run(context, flags, lambda s: change(s, name, rules)))


@keys.command("rotate")
@takes_settings("data_dir", "database_url")
def rotate_key(
    context: typer.Context,
    name: Name,
    grace: Annotated[
        str | None, typer.Option(help="How long the old secret still works, such as 24h.")
    ] = None,
    **flags: Any,
) -> None:
    """Give a key a new secret, shown once, now. Without --grace the old one, and what runs by it,
    ends at once."""
    from appliance.cli_key_store import rotate

    still = lifetime(grace) if grace else timedelta(0)
    typer.echo(run(context, flags, lambda s: rotate(s, name, still)))


@keys.command("revoke")
@takes_settings("data_dir", "database_url")
def revoke_key(context: typer.Context, name: Name, **flags: Any) -> None:
    """End a key at once, running answers too."""
    from appliance.cli_key_store import revoke

    typer.echo(run(context, flags, lambda s: revoke(s, name)))


def run(context: typer.Context, flags: dict[str, Any], work: Callable[[Settings], Any]) -> Any:
    """Do `work` with the settings; a key's own options are none of them."""
    settings = {name: value for name, value in flags.items() if name not in OPTIONS}
    return anyio.run(work, load_settings(merged_flags(context, settings)))
