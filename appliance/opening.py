"""Opening the appliance to the network: a key first, and plain words about who can reach it."""

from __future__ import annotations

from contextlib import suppress

import anyio

from appliance import console
from appliance.errors import InvalidRequest
from appliance.lan.network import Network
from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.look_alike import are_alike
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer
from appliance.settings import Settings

FIRST_KEY = "team"


def open_up(settings: Settings, network: Network) -> None:
    """Nothing is opened without a key: the first is made here, and shown this once."""
    made, keys = anyio.run(keys_that_open, settings)
    names = [key.name for key in keys]
    for line in (*who_can_reach(network, names), *_uncovered(settings, network)):
        console.say(line)
    if made is not None:
        console.say(f"No key opened anything yet, so “{FIRST_KEY}” was made. Shown this once:")
        console.say(f"\n    {made}\n")
    console.say("Invite team-mates with: launcher.py keys invite NAME   (or on the page Keys)")


def who_can_reach(network: Network, names: list[str]) -> list[str]:
    """Sentences: the addresses, who holds a key, and a warning where the internet can come in."""
    found = network.addresses()
    shown = ", ".join(f"{network.url(str(a.ip))} ({a.interface or 'given'})" for a in found)
    lines = [f"Open to the network at {shown or 'no address yet: this machine has no network'}"]
    keys = "1 key opens" if len(names) == 1 else f"{len(names)} keys open"
    lines.append(f"Whoever is on that network sees the sign-in page; {keys} it: {_listed(names)}.")
    lines += [
        f"! {one.ip} on {one.interface or 'this machine'} is a public address: the whole internet "
        "can knock here unless a firewall forbids it. Bind one address with --host instead."
        for one in found
        if one.is_public
    ]
    if network.scheme == "http" and found:
        lines.append("Keys and answers cross that network unencrypted; --https encrypts them.")
    return lines


def _uncovered(settings: Settings, network: Network) -> list[str]:
    """A warning for each address that a certificate of our own authority cannot be for."""
    if not settings.vouches_for_itself:
        return []
    from appliance.lan.authority_parts import is_local  # slow to import, and seldom needed

    return [
        f"! The certificate cannot be for {one.ip}: our authority vouches for private addresses "
        f"and local names only. Use the name {settings.lan_name}.local, or give --tls-cert."
        for one in network.addresses()
        if not is_local(str(one.ip))
    ]


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


async def keys_that_open(settings: Settings) -> tuple[str | None, list[ApiKey]]:
    """The secret of the key that had to be made, and the keys that open something now."""
    database = Database(settings.effective_database_url)
    database.migrate(copies=settings.data_dir, copying=not settings.no_update_copy)
    writer = Writer(database)
    try:
        store = KeyStore(database, writer)
        known, secret = await store.list(), None
        if not any(key.state == "active" for key in known):
            # Another that starts in the same moment may have made it, and shown it.
            with suppress(InvalidRequest):
                _, secret = await store.create(_free_name(known))
            known = await store.list()
        return secret, [key for key in known if key.state == "active"]
    finally:
        writer.close()
        database.close()


def _free_name(keys: list[ApiKey]) -> str:
    """A revoked key keeps its name, so the first may be taken."""
    names = (FIRST_KEY, *(f"{FIRST_KEY}-{number}" for number in range(2, len(keys) + 3)))
    return next(name for name in names if not any(are_alike(key.name, name) for key in keys))
