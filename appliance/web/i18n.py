"""Which language a reader gets, and the sentences in it.

The catalogue is compiled in memory from the committed .po file, so no binary can go stale.
"""

from __future__ import annotations

import io
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel import Locale
from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request

from appliance.domain import Phrase

LOCALES = Path(__file__).parent / "locales"
LANGUAGES = {"en": "English", "zh": "中文"}
LANGUAGE_COOKIE = "language"
HEADERS_KEPT = 64  # readers send one of a few headers, and others whatever they like


@cache
def translations(language: str) -> NullTranslations:
    """Sentences of one of `LANGUAGES`; English needs no catalogue, its msgids are the text."""
    source = LOCALES / language / "LC_MESSAGES" / "messages.po"
    if not source.exists():
        return NullTranslations()
    compiled = io.BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


@cache
def locale(language: str) -> Locale:
    """How numbers and dates are written in `language`."""
    return Locale.parse("zh_Hans_CN" if language == "zh" else language)


def choose_language(request: Request, setting: str) -> str:
    """The reader's own choice, else the owner's `setting`, else (`auto`) the browser's wish."""
    for chosen in (request.cookies.get(LANGUAGE_COOKIE), setting):
        if chosen in LANGUAGES:
            return str(chosen)
    return _wished(request.headers.get("accept-language", ""))


@lru_cache(HEADERS_KEPT)
def _wished(header: str) -> str:
    return negotiate_locale(_accepted(header), list(LANGUAGES), sep="-") or "en"


def translate(phrase: Phrase, language: str) -> str:
    """The phrase in `language`, its values filled in; a value may be a phrase itself."""
    template = translations(language).gettext(phrase.template)
    if not phrase.values:
        return template
    return template % {
        name: translate(value, language) if isinstance(value, Phrase) else value
        for name, value in phrase.values.items()
    }


def _accepted(header: str) -> list[str]:
    """Languages of an Accept-Language header, best first; nonsense is left out."""
    weighed: list[tuple[float, str]] = []
    for part in header.split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = parameters.strip().removeprefix("q=") or "1"
        try:
            weighed.append((float(weight), tag.strip()))
        except ValueError:
            continue
    weighed.sort(key=lambda pair: -pair[0])
    return [tag for weight, tag in weighed if tag and tag != "*" and weight > 0]
