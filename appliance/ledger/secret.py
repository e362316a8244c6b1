"""Secrets of keys and codes of invitations: made here, and known to the ledger by hash only.

They are random and long, so there is nothing to guess and a slow hash would only slow every
request down.
"""

from __future__ import annotations

import hashlib
import secrets

SECRET_PREFIX = "sk-appl-"  # noqa: S105 - what every secret begins with is none
SHOWN_CHARACTERS = 11
CODE_BYTES = 16


def new_secret() -> str:
    """A key's secret: 256 random bits behind a prefix by which scanners and people know it."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def new_code() -> str:
    """A one-time code: 128 random bits, short enough for a small QR code."""
    return secrets.token_urlsafe(CODE_BYTES)


def hash_of(secret: str) -> str:
    """SHA-256 in hexadecimal; any text is taken, also halves of surrogate pairs."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
