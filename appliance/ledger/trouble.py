"""What a database refuses, in words for the owner."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

from appliance.errors import LedgerUnavailable


def in_words(error: Exception) -> str:
    """What the database said, without the library's words around it."""
    return str(getattr(error, "orig", None) or error)


def unavailable(error: OperationalError) -> LedgerUnavailable:
    return LedgerUnavailable(
        "This could not be saved: %(error)s. Make room on the disk and see that the data folder "
        "can be written to, then try again.",
        error=in_words(error),
    )
