"""What templates know besides their own view."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.engine.status import EngineStatus


@dataclass(frozen=True, slots=True)
class Logged:
    """What the record keeps of the reader: texts or not, for how many days, up to which size.

    None: for good, without limit.
    """

    full: bool = True
    days: int | None = None
    text_days: int | None = None
    megabytes: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What every template knows besides its view's fields.

    `may_ask`: the reader may ask the model on any page, as is taken of one who is not known yet.
    `talks_only`: their key opens certain assistants and no other page.
    """

    language: str
    theme: str
    path: str
    caller_name: str | None
    is_admin: bool
    may_ask: bool
    talks_only: bool
    via_session: bool
    engine: EngineStatus
    demo: bool
    version: str
    logged: Logged

    @property
    def home(self) -> str:
        """The first page that the reader may open."""
        if self.talks_only:
            return "/assistants"
        return "/" if self.may_ask else "/history"


@dataclass(frozen=True, slots=True)
class ErrorView:
    """An error as a page: `title` and `message` are already in the reader's language.

    `again` is the address to open once more, where that may help.
    """

    status: int
    title: str
    message: str
    again: str = ""
