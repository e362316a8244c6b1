"""Every assistant a reader can choose: the files that come with the appliance, and people's own.

One reader's language at a time; what is missing in it is taken from English.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from appliance.errors import NotFound
from appliance.ledger.tables_assistants import OwnAssistant
from appliance.web.page import Page

FOLDER = Path(__file__).resolve().parents[2] / "data" / "assistants"
FIRST = ("general", "tutor", "service")
Kind = Literal["chat", "tutor", "service"]
_TEXTS = ("name", "description", "instructions", "greeting", "handover", "faq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An assistant in the reader's language. `mine`: the reader may change it; `owner` is empty
    for one that comes with the appliance."""

    id: str
    kind: Kind
    name: str
    description: str = ""
    instructions: str = ""
    greeting: str = ""
    replies: tuple[str, ...] = ()
    temperature: float | None = None
    thinking: bool | None = None
    faq: str = ""
    handover: str = ""
    origins: tuple[str, ...] = ()
    for_everyone: bool = True
    owner: str = ""
    mine: bool = False
    apart: bool = False

    @property
    def place(self) -> str:
        """Where one talks to it: answers from a list, and keys for it alone, have a page apart."""
        apart = self.apart or self.kind == "service"
        return f"/assistants/{self.id}/talk" if apart else f"/?assistant={self.id}"


async def listed(page: Page) -> tuple[Known, ...]:
    """Those the reader may talk to: the appliance's first, then own ones by name."""
    names = sorted(_files(), key=lambda name: (FIRST.index(name) if name in FIRST else 9, name))
    rows = await page.parts.assistants.seen_by(page.caller.name)
    all_of_them = [_preset(name, page.language) for name in names] + [
        _own(row, page) for row in rows
    ]
    apart = page.caller.assistants is not None
    return tuple(replace(known, apart=apart) for known in all_of_them if _open_to(page, known))


async def found(page: Page, assistant_id: str) -> Known:
    """Raises NotFound when there is none of this id, or it is not the reader's to talk to."""
    known: Known | None = None
    if assistant_id in _files():
        known = _preset(assistant_id, page.language)
    elif row := await page.parts.assistants.find(assistant_id):
        known = _own(row, page)
    if known is None or not _open_to(page, known):
        raise NotFound("There is no such assistant, or it is not yours.")
    return known


def _open_to(page: Page, known: Known) -> bool:
    if page.caller.assistants is not None:
        return known.id in page.caller.assistants
    return known.for_everyone or known.mine


def _own(row: OwnAssistant, page: Page) -> Known:
    return Known(
        id=row.id,
        kind=cast(Kind, row.kind),
        name=row.name,
        description=row.description,
        instructions=row.instructions,
        greeting=row.greeting,
        replies=tuple(row.replies),
        temperature=row.temperature,
        thinking=row.thinking,
        faq=row.faq,
        handover=row.handover,
        origins=tuple(row.origins),
        for_everyone=row.for_everyone,
        owner=row.owner,
        mine=row.owner == page.caller.name,
    )


@cache
def _files() -> Mapping[str, Mapping[str, Any]]:
    """By the file's name. A field that is unknown raises at once."""
    return {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.toml")
    }


@cache
def _preset(name: str, language: str) -> Known:
    content = dict(_files()[name])
    texts = {field: _in(content.pop(field, {}), language, "").strip() for field in _TEXTS}
    replies = tuple(_in(content.pop("replies", {}), language, ()))
    return replace(Known(id=name, **content, **texts), replies=replies)


def _in(values: Mapping[str, Any], language: str, missing: Any) -> Any:
    return values.get(language, values.get("en", missing))
