"""Commands for the database: a copy of it, and whether it is well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.flags import merged_flags, takes_settings
from appliance.settings import load_settings

SIGNS = {"good": "ok  ", "note": "note", "bad": "BAD "}


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


@takes_settings("data_dir", "database_url")
def doctor(context: typer.Context, **flags: Any) -> None:
    """Check that the database is whole, and say what to do; exit status 1 if it is not."""
    from appliance.ledger.doctor import examine

    ill = False
    settings = load_settings(merged_flags(context, flags))
    for finding in examine(settings.effective_database_url, settings.data_dir):
        ill |= finding.level == "bad"
        typer.echo(f"{SIGNS[finding.level]}  {finding.text}")
    if ill:
        raise typer.Exit(1)
