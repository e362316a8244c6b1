"""Keeps the Chinese catalogue in step with the code: `python -m appliance.web.catalog`.

A developer's tool. It finds the sentences of templates (`_`, `ngettext`), of Python
(`gettext`, `ngettext`) and the English templates of `Phrase(...)` and of every error class, and
updates the .po file; a test fails while any sentence is untranslated.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from appliance import errors
from appliance.web import tasks
from appliance.web.assets import ROOT, TEMPLATES
from appliance.web.i18n import LOCALES

METHODS = [("**.py", "python"), ("**.html", "jinja2")]
OPTIONS = {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "newstyle_gettext": "true"}}
# What these say goes to programs and terminals, in English; no page ever shows it.
ELSEWHERE = ("appliance/api/", "appliance/bench/", "appliance/install/", "appliance/engine/worker/")
FOLDERS = (ROOT / "appliance", TEMPLATES)
CHINESE = LOCALES / "zh" / "LC_MESSAGES" / "messages.po"


def extract() -> Catalog:
    """Every sentence that a page may show, as found in the code now."""
    found = Catalog(project="appliance", charset="utf-8")
    keywords = {**DEFAULT_KEYWORDS, **dict.fromkeys(_sentence_classes(), (1,))}
    for folder in FOLDERS:
        messages = extract_from_dir(folder, METHODS, OPTIONS, keywords, comment_tags=("i18n:",))
        for file, _line, message, comments, context in messages:
            place = (folder / file).relative_to(ROOT).as_posix()
            if place.startswith(ELSEWHERE):
                continue
            found.add(message, None, [(place, 0)], auto_comments=comments, context=context)
    for sentence, place in (*tasks.sentences(), *_chosen_sentences()):
        found.add(sentence, None, [(place, 0)])
    return found


def update(path: Path = CHINESE) -> Catalog:
    """Brings the .po file at `path` up to date, keeping what is translated."""
    catalog = read(path) if path.exists() else Catalog(locale="zh", project="appliance")
    created = catalog.creation_date
    catalog.update(extract(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    # Nothing in the head may change by itself, or each run would be a change of the file.
    catalog.header_comment = "# Chinese of the pages. `python -m appliance.web.catalog` updates it."
    catalog.creation_date, catalog.fuzzy = created, False
    with path.open("wb") as file:
        # Line numbers would make every edit of the code a change of the catalogue.
        write_po(file, catalog, width=100, sort_by_file=True, include_lineno=False)
    return catalog


def untranslated(catalog: Catalog) -> list[str]:
    """Sentences of `extract()` that `catalog` lacks, has empty, or has only guessed (fuzzy)."""
    return [str(m.id) for m in extract() if m.id and not _is_translated(catalog, m.id)]


def _is_translated(catalog: Catalog, msgid: str | tuple[str, ...] | list[str]) -> bool:
    known = catalog.get(msgid if isinstance(msgid, str) else msgid[0])
    if known is None or known.fuzzy:
        return False
    return all(known.string) if isinstance(known.string, tuple) else bool(known.string)


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="zh")


def _chosen_sentences() -> Iterator[tuple[str, str]]:
    """Templates that reach their `Phrase` through a variable or a table."""
    for folder in ("fit", "engine", "gateway"):
        for file in sorted((ROOT / "appliance" / folder).glob("*.py")):
            source = file.read_text("utf-8")
            if "Phrase(" in source:
                for node in ast.walk(ast.parse(source)):
                    for sentence in _sentences_at(node):
                        yield sentence, file.relative_to(ROOT).as_posix()


def _sentences_at(node: ast.AST) -> Iterator[str]:
    """Text with named places, text for a variable of that name, and whole sentences in a table."""
    match node:
        case ast.Constant(str(value)) if re.search(r"%\(\w+\)s", value):
            yield value
        case ast.Assign([ast.Name("text" | "template")], ast.Constant(str(value))):
            yield value
        case ast.Dict(values=values):
            for entry in values:
                if isinstance(entry, ast.Constant) and str(entry.value).endswith("."):
                    yield str(entry.value)


def _sentence_classes() -> Iterator[str]:
    yield "Phrase"
    for name, member in inspect.getmembers(errors, inspect.isclass):
        # A SetupError ends the command in the terminal; no page ever shows one.
        if issubclass(member, errors.ApplianceError) and member is not errors.SetupError:
            yield name


if __name__ == "__main__":
    missing = untranslated(update())
    sys.stdout.write("\n  ".join([f"{CHINESE}: {len(missing)} to translate", *missing]) + "\n")
