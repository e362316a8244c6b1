"""`keys invite`: a link and a QR code in the terminal that give somebody a key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from appliance.cli_keys import Name, run
from appliance.flags import takes_settings
from appliance.key_flags import lifetime, rules_of, takes_rules
from appliance.settings import Settings

if TYPE_CHECKING:
    from appliance.ledger.key_rules import KeyFields

Valid = Annotated[str, typer.Option(help="How long the link works, such as 24h or 15m.")]


@takes_rules
@takes_settings("data_dir", "database_url")
def invite(context: typer.Context, name: Name, valid: Valid = "24h", **flags: Any) -> None:
    """Make a link and a QR code that give NAME a key: opened once, on the device to be used."""
    rules, time = rules_of(flags), lifetime(valid)
    typer.echo(run(context, flags, lambda settings: _invitation(settings, name, time, rules)))


async def _invitation(settings: Settings, name: str, valid: timedelta, rules: KeyFields) -> str:
    from appliance.cli_key_store import opened
    from appliance.folder import DataFolder
    from appliance.lan.qr import as_text
    from appliance.ledger.invite import invite as make
    from appliance.ledger.joining import Joining
    from appliance.ledger.keys import KeyStore

    async with opened(settings) as (database, writer):
        keys, joining = KeyStore(database, writer), Joining(database, writer)
        code = await make(keys, joining, name, valid=valid, **rules)
    folder = DataFolder(settings.data_dir)
    reachable, here = folder.join_url(), folder.holder_url()
    address = reachable or here or f"http://127.0.0.1:{settings.port}"
    link = f"{address}/join?code={code}"
    said = [as_text(link), f"Invitation for {name}, works once:", "", f"    {link}", ""]
    if here is None:
        said.append("! No appliance runs on this data folder: start it with --lan first.")
    elif reachable is None:
        said.append("! The appliance listens on this machine only: start it with --lan.")
    return "\n".join(said)
