"""Templates: one environment a language, a dataclass as each template's context.

A fragment is a block of its page's template, so a view is written once.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from appliance.web import formats
from appliance.web.assets import TEMPLATES, asset_url
from appliance.web.i18n import LANGUAGES, translations
from appliance.web.markdown import render as render_markdown
from appliance.web.prompts import unfenced

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# No eval and no injected style, as the Content-Security-Policy asks; errors are swapped in too,
# because they come as notices with a target of their own.
HTMX_CONFIG = json.dumps(
    {
        "allowEval": False,
        "includeIndicatorStyles": False,
        "historyCacheSize": 0,
        "scrollBehavior": "auto",
        "responseHandling": [
            {"code": "204", "swap": False},
            {"code": "[23]..", "swap": True},
            {"code": "[45]..", "swap": True, "error": True},
        ],
    }
)


@cache
def icon(name: str) -> Markup:
    """One of the drawings in `icons.svg`; KeyError when there is none. A page has twenty of them
    within itself: from a file of their own they came a frame later than the words beside them."""
    start = '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
    return Markup(f"{start}{_drawings()[name]}</svg>")  # noqa: S704 - our own drawings


@cache
def _drawings() -> dict[str, str]:
    text = (TEMPLATES / "icons.svg").read_text(encoding="utf-8")
    return dict(re.findall(r'<symbol id="([\w-]+)">(.*)</symbol>', text))


def sentences(language: str) -> dict[str, Callable[..., Markup]]:
    """`_` and `ngettext` for templates, as Jinja's own `gettext` extension has them: values are
    escaped and filled in. A page says a hundred sentences, nearly all without a value, and the
    extension works each out again."""
    catalogue = translations(language)

    @cache
    def plain(sentence: str) -> Markup:
        return Markup(catalogue.gettext(sentence)) % {}  # noqa: S704 - our own words

    def gettext(sentence: str, /, **values: object) -> Markup:
        if not values:
            return plain(sentence)
        return Markup(catalogue.gettext(sentence)) % values  # noqa: S704

    def ngettext(one: str, many: str, number: int, /, **values: object) -> Markup:
        chosen = Markup(catalogue.ngettext(one, many, number))  # noqa: S704
        return chosen % {"num": number, **values}

    return {"_": gettext, "ngettext": ngettext}


@cache
def environment(language: str) -> Environment:
    """The templates in `language`. Values are escaped, unknown names are errors."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(sentences(language))
    made.filters.update(formats.filters(language), markdown=render_markdown, unfenced=unfenced)
    made.globals.update(asset=asset_url, drawn=icon, languages=LANGUAGES, htmx_config=HTMX_CONFIG)
    # Blocks rendered alone do not run their template's imports, so macros are a global.
    made.globals["ui"] = made.get_template("macros.html").module
    return made


async def put_together(pause: float = 0.05) -> None:
    """Compiles every template in every language, so that nobody's visit waits for it, as the first
    one to a page would (40 to 90 ms). Gently, with `pause` seconds between: a model is loading."""
    for name in sorted(path.name for path in TEMPLATES.glob("*.html")):
        for language in LANGUAGES:
            await asyncio.to_thread(_template, language, name)
            await asyncio.sleep(pause)


def _template(language: str, name: str) -> Template:
    return environment(language).get_template(name)


def context_of(view: DataclassInstance) -> dict[str, Any]:
    """The fields of a view as template names, without copying what is in them."""
    return {field.name: getattr(view, field.name) for field in fields(view)}


def render(
    language: str, template: str, context: Mapping[str, Any], *, block: str | None = None
) -> str:
    """HTML of a whole template, or of one of its blocks."""
    found = _template(language, template)
    if block is None:
        return found.render(context)
    return "".join(found.blocks[block](found.new_context(dict(context))))
