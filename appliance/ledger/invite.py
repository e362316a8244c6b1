"""An invitation by name, for pages and the command line alike."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Unpack

from appliance.ledger.joining import Joining
from appliance.ledger.key_rules import KeyFields
from appliance.ledger.keys import KeyStore


async def invite(
    keys: KeyStore, joining: Joining, name: str, *, valid: timedelta, **rules: Unpack[KeyFields]
) -> str:
    """A one-time code that gives its bearer a new key called `name`.

    The same name again, while nobody has opened the link, gets a new link and the new rules; the
    old link ends. Raises what `KeyStore.create` and `Joining.invite` raise.
    """
    key = await _waiting(keys, joining, name)
    if key is None:
        key = (await keys.create(name, **rules))[0].id
    else:
        await keys.change(name, **rules)
    return await joining.invite(key, valid=valid)


async def _waiting(keys: KeyStore, joining: Joining, name: str) -> str | None:
    """The key that was made for an invitation which nobody has opened."""
    wanted = unicodedata.normalize("NFC", name.strip()).casefold()
    for key in await keys.list():
        if key.name.casefold() == wanted and key.state == "active":
            return key.id if await joining.is_waiting(key.id) else None
    return None
