"""A LaTeX formula as MathML, or nothing where it cannot be told. Knows no Markdown."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any

LONGEST_FORMULA = 2000  # characters; more takes the converter a tenth of a second
# The converter knows one aligned environment by this name; the others differ only in numbering.
_ALIGNED = re.compile(r"\\(begin|end)\s*\{(?:aligned|align|gathered|gather|multline|eqnarray)\*?\}")
_WRAPPER = re.compile(r"\\(?:begin|end)\s*\{(?:equation|displaymath|math)\*?\}")
_SIZE = re.compile(r"([+-]?\d*\.?\d+)(.*)", re.DOTALL)
_WIDEST = 4.0  # em; a formula may not push itself over what stands beside it
_KEPT = {"mathvariant", "stretchy", "fence", "separator", "form", "accent", "displaystyle"}
_KEPT |= {"scriptlevel", "linethickness", "lspace", "rspace", "minsize", "maxsize", "largeop"}
_KEPT |= {"movablelimits", "notation", "display", "xmlns", "accentunder", "symmetric"}


@lru_cache(maxsize=2048)
def mathml(source: str, *, block: bool = False) -> str | None:
    """The formula as a `<math>` element; None when it is too long or not understood."""
    if len(source) > LONGEST_FORMULA:
        return None
    from xml.etree.ElementTree import tostring  # these three are only paid for by formulas

    from latex2mathml.converter import convert_to_element

    plain = _WRAPPER.sub("", _ALIGNED.sub(r"\\\1{split}", source)).strip()
    try:
        root = convert_to_element(plain, display="block" if block else "inline")
        for element in root.iter():
            _tidy(element)
        return tostring(root, encoding="unicode", short_empty_elements=False)
    except Exception:  # whatever it is that a model has written, the reader sees its source
        return None


def _tidy(element: Any) -> None:
    """Text instead of entities, and only attributes that do no harm.

    Browsers align a cell by style alone, which the page forbids: a class says it instead.
    """
    element.text = html.unescape(element.text) if element.text else element.text
    aligned = element.attrib.get("columnalign")
    width = element.attrib.get("width")
    for name in set(element.attrib) - _KEPT:
        del element.attrib[name]
    if aligned in ("left", "right"):
        element.set("class", f"math-{aligned}")
    if width and element.tag == "mspace":
        element.set("width", _bounded(width))


def _bounded(width: str) -> str:
    found = _SIZE.fullmatch(width)
    if found is None or found[2].strip() != "em":
        return "0.5em"
    return f"{max(-1.0, min(_WIDEST, float(found[1]))):g}em"
