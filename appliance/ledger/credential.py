"""What somebody came in by, so that it can be asked later whether it would still let them in."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Literal

from appliance.ledger.tables_keys import ApiKey

Ending = Literal["revoked", "expired", "replaced", "signed_out"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A key's secret, known by its hash, or a browser's session, by the epoch that it began in."""

    key_id: str
    secret_hash: str | None = None
    epoch: int | None = None

    def ending(self, key: ApiKey) -> Ending | None:
        """Why this opens nothing any more; None while it does. `key` is as it is now."""
        if key.state != "active":
            return key.state
        if self.epoch is not None:
            return None if self.epoch == key.session_epoch else "signed_out"
        return None if opens(key, self.secret_hash or "") else "replaced"


def opens(key: ApiKey, secret_hash: str) -> bool:
    """Whether it is the key's secret, or in a time of grace the one before. Compared in constant
    time, both of them always."""
    new = hmac.compare_digest(key.hash, secret_hash)
    old = hmac.compare_digest(key.old_hash or "", secret_hash)
    return new or (old and key.in_grace)
