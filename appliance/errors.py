"""Everything that can go wrong, once, for every dialect and page.

    ApplianceError
    ├── InvalidRequest          400  the caller can mend it; names the parameter
    │   ├── UnsupportedParameter 400 the current engine cannot do this
    │   ├── ContextExceeded     400  prompt + max_tokens do not fit; carries the numbers
    │   └── TooLong             413  more than is taken in one request
    ├── NotAuthenticated        401  no key, a wrong, expired or revoked one
    ├── PermissionDenied        403  a good key that may not do this
    ├── NotFound                404  no such model, request, conversation
    ├── RateLimited             429  come back after `retry_after` seconds
    ├── QueueFull               503  too many are waiting; come back
    ├── EngineUnavailable       503  loading, unloaded or failed; `retry_after` when known
    ├── LedgerUnavailable       507  the disk is full or the database refuses; nothing was kept
    ├── EngineFailed            502  the engine died or spoke nonsense while it worked for us
    │   ├── KeyRefused          502  it does not take the key that it was shown
    │   └── WrongAddress        502  nothing that speaks OpenAI's wire is at this address
    └── SetupError              –    the appliance cannot start; the message says what to do

An error's text is a `Phrase`, so that an API answers in English and a page in the reader's
language. `code` is stable and meant for programs.
"""

from __future__ import annotations

from typing import ClassVar, Self

from appliance.domain import Phrase


class ApplianceError(Exception):
    """Root of the tree. `message` values fill the `%(name)s` places of the template."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        template: str,
        /,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        **values: object,
    ) -> None:
        self.phrase = Phrase(template, values)
        self.param = param
        self.retry_after = retry_after
        super().__init__(str(self.phrase))

    @classmethod
    def saying(cls, phrase: Phrase, *, retry_after: float | None = None) -> Self:
        """The error that says a sentence somebody else has made."""
        error = cls("%(sentence)s", sentence=phrase, retry_after=retry_after)
        error.phrase = phrase
        return error


class InvalidRequest(ApplianceError):
    status = 400
    code = "invalid_value"


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class ContextExceeded(InvalidRequest):
    code = "context_length_exceeded"


class TooLong(InvalidRequest):
    status = 413
    code = "too_long"


class NotAuthenticated(ApplianceError):
    status = 401
    code = "invalid_api_key"


class PermissionDenied(ApplianceError):
    status = 403
    code = "permission_denied"


class NotFound(ApplianceError):
    status = 404
    code = "not_found"


class RateLimited(ApplianceError):
    status = 429
    code = "rate_limit_exceeded"


class QueueFull(ApplianceError):
    status = 503
    code = "queue_full"


class EngineUnavailable(ApplianceError):
    status = 503
    code = "engine_unavailable"


class EngineFailed(ApplianceError):
    status = 502
    code = "engine_failed"


class KeyRefused(EngineFailed):
    """Whose key it was knows who asked: the settings' or one that was given with a request."""


class WrongAddress(EngineFailed):
    """As above, of the address. `reason` is among the phrase's values."""


class LedgerUnavailable(ApplianceError):
    status = 507
    code = "ledger_unavailable"


class SetupError(ApplianceError):
    code = "setup_failed"
