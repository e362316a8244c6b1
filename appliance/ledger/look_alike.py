"""Names that people take for the same: letter case does not tell them apart, nor the form of a
letter, nor another script's letter that is drawn the same.

Knows the letters of Greek and Cyrillic that Unicode calls confusable with one Latin letter (UTS 39,
confusables.txt). A whole name of another script that happens to look like Latin stays possible.
"""

from __future__ import annotations

import unicodedata

# Scripts that share the shapes of letters: no name mixes two of them.
SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
_DRAWN_ALIKE = str.maketrans(
    "АВЕԌНІЈКМОРЅТѴԜХҮСаԁеһіјӏорԛѕѵԝхусгΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορσυ",
    "ABEGHIJKMOPSTVWXYCadehijlopqsvwxycrABEZHIKMNOPTYXayivopou",
)


def are_alike(one: str, other: str) -> bool:
    return _folded(one) == _folded(other) or _drawn(one) == _drawn(other)


def mixes_scripts(name: str) -> bool:
    """Whether letters of two scripts that share shapes stand in one name: "а" is not "a"."""
    scripts = {unicodedata.name(one, "").partition(" ")[0] for one in name if one.isalpha()}
    return len(scripts & SCRIPTS) > 1


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


def _drawn(name: str) -> str:
    """As Latin letters: by the drawing first, because capitals are drawn unlike small letters."""
    return _composed(_composed(name).translate(_DRAWN_ALIKE).casefold())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFKC", name)
