"""What programs of each language look like: marks, each with its weight. Data, no reasoning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

CERTAIN: Sequence[tuple[str, str]] = (
    (r"\A#!.*\bpython", "Python"),
    (r"\A#!.*\b(?:ba|z|k|da)?sh\b", "Bash"),
    (r"\A#!.*\bnode\b", "JavaScript"),
    (r"\A#!.*\bruby\b", "Ruby"),
    (r"\A#!.*\bphp\b", "PHP"),
    (r"\A#!.*\bRscript\b", "R"),
    (r"\A#!.*\bpwsh\b", "PowerShell"),
    (r"<\?php\b", "PHP"),
    (r"\A\s*<!doctype html", "HTML"),
)
"""A pattern anywhere in a program that leaves no doubt."""

_C_LIKE = ((r"^#include\s*[<\"]", 3.0), (r"\b(?:printf|malloc|sizeof)\s*\(", 1.5))

_SOURCES: Mapping[str, Sequence[tuple[str, float]]] = {
    "Python": (
        (r"^\s*(?:async )?def \w+\(.*\).*:\s*(?:#.*)?$", 3), (r"^\s*class \w+(?:\(.*\))?:\s*$", 3),
        (r"^(?:from [\w.]+ )?import \w[\w., ]*(?: as \w+)?\s*$", 2),
        (r"^\s*(?:if|elif|else|for|while|try|except|with|finally)\b[^{};]*:\s*(?:#.*)?$", 2),
        (r"\bself\.\w|\b(?:None|elif|lambda)\b|__\w+__", 1), (r"\bprint\(", 0.8),
        (r"\bf['\"]|\bin range\(", 1.5),
    ),
    "JavaScript": (
        (r"\b(?:const|let|var) [\w{\[].*?=", 1.5), (r"=>\s*[{(\w]", 1.2), (r"===|!==", 1.5),
        (r"\bfunction\s*\w*\(", 1.5), (r"\bconsole\.\w+\(", 3), (r"\brequire\(['\"]", 2),
        (r"^(?:export|import) .*['\"];?$", 2), (r"\b(?:document|window|module)\.\w", 2),
    ),
    "TypeScript": (
        (r"\b(?:const|let|var) \w+\s*:\s*\w", 3), (r"^\s*(?:export )?interface \w+", 3),
        (r"[\w?\]]\s*:\s*(?:string|number|boolean|void|unknown|any)\b", 3),
        (r"^\s*(?:export )?type \w+.*=", 3), (r"\b(?:readonly|as const|implements)\b", 1),
        (r"\b(?:const|let) [\w{\[].*?=", 1), (r"=>", 0.8), (r"\bconsole\.\w+\(", 1.5),
    ),
    "Java": (
        (r"\bpublic static void main\s*\(\s*String", 4), (r"\bSystem\.(?:out|err)\.", 3),
        (r"^import (?:static )?java[\w.]*", 4), (r"^package [\w.]+;", 2),
        (r"^\s*(?:public|private|protected)\b.*[({;]\s*$", 1), (r"@Override\b", 2),
        (r"\bfinal \w+", 1), (r"\bnew \w+(?:<.*?>)?\(", 0.7), (r"\bString \w+", 1),
    ),
    "C": (*_C_LIKE, (r"\b(?:int|void|char|double) \*?\w+\s*\([^)]*\)\s*\{", 2),
        (r"^#define\b", 1.5), (r"\bstruct \w+", 1), (r"\bchar \*", 1.5)),
    "C++": (*((p, w / 1.3) for p, w in _C_LIKE), (r"\bstd::", 3), (r"\b(?:cout|cin|endl)\b", 2),
        (r"^#include <(?:iostream|vector|string|map|memory|algorithm)>", 4),
        (r"\btemplate\s*<", 4), (r"^using namespace", 4), (r"\b(?:nullptr|constexpr|auto)\b", 2),
        (r"^\s*(?:public|private|protected):", 3), (r"\w::\w", 1)),
    "C#": (
        (r"^using [\w.]+;", 3), (r"^\s*namespace [\w.]+", 2), (r"\bConsole\.\w+", 4),
        (r"\{\s*get;", 4), (r"\b(?:string|var|int)\??(?:\[\])? \w+\s*=", 1),
        (r"\b(?:static )?(?:async )?(?:void|Task|string) [A-Z]\w*\(", 2), (r"\bforeach\s*\(", 2),
    ),
    "Go": (
        (r"^package \w+\s*$", 4), (r"^func (?:\(\w+ \*?\w+\) )?\w+\(", 3), (r":=", 1),
        (r"\bfmt\.\w+\(", 3), (r"\berr != nil\b", 3), (r"^\s*(?:defer|go) \w", 2),
        (r"^type \w+ (?:struct|interface)\b", 4),
    ),
    "Rust": (
        (r"^\s*(?:pub )?(?:async )?fn \w+", 3), (r"\blet mut \w+", 4), (r"\b\w+!\(", 1.5),
        (r"^\s*impl\b", 3), (r"^use [\w:]+", 2), (r"->\s*(?:Result|Option|Self|\w+)", 0.8),
        (r"&(?:mut|str|self)\b", 2), (r"\bmatch \w", 1.5), (r"#\[derive", 4),
    ),
    "Kotlin": (
        (r"^\s*(?:private |suspend |override )*fun \w+\(", 4), (r"\bval \w+", 2),
        (r"\bvar \w+", 1), (r"\bdata class\b", 4), (r"\bprintln\(", 1), (r"\?\.|\?:|!!", 1),
        (r"\bwhen\s*[({]", 2), (r":\s*(?:Int|String|List<|Boolean)\b", 1),
    ),
    "Swift": (
        (r"^import (?:Foundation|UIKit|SwiftUI)\b", 4), (r"\bfunc \w+\(.*\)(?: throws)? ->", 3),
        (r"\bguard\b.*\belse\b", 4), (r"\b(?:if|guard) let \w+", 3), (r"\blet \w+(?::.*)? =", 1),
        (r"^\s*func \w+\(", 1.5), (r"\\\(\w", 2), (r":\s*(?:Int|String|\[\w+\]|Bool)\b", 1),
    ),
    "PHP": ((r"\$\w+\s*=[^=]", 1), (r"\$this->", 3), (r"^\s*(?:public )?function \w+\(.*\$\w", 3),
        (r"\becho \$?\w", 1), (r"->\w+\(", 0.5)),
    "Ruby": (
        (r"^\s*def \w+[?!]?(?:\(.*\))?\s*$", 2), (r"^\s*end\s*$", 1.5), (r"\bputs\b", 2),
        (r"^require(?:_relative)? ['\"]", 3), (r"\bdo \|\w", 3), (r"\.each\b|\.nil\?", 2),
        (r"^\s*(?:attr_\w+|module \w+)", 3), (r"#\{\w", 1.5), (r"@\w+ =", 1),
    ),
    "R": (
        (r"\w\s*<-\s*\S", 2), (r"<-\s*function\s*\(", 4), (r"^library\(\w+\)", 4), (r"%>%|\|>", 2),
        (r"\b(?:data\.frame|ggplot|paste0|c)\(", 1), (r"\b(?:TRUE|FALSE|NULL)\b", 1),
    ),
    "SQL": (
        (r"(?i)^\s*select\b[\s\S]*?\bfrom\b", 4), (r"(?i)^\s*insert into\b", 4),
        (r"(?i)^\s*create (?:table|index|view)\b", 5), (r"(?i)^\s*update \w+\s+set\b", 4),
        (r"(?i)\b(?:group by|order by|inner join|left join|where)\b", 1.5),
        (r"(?i)^\s*delete from\b", 4), (r"(?i)^\s*with \w+ as \(", 3),
    ),
    "Bash": (
        (r"^\s*(?:fi|done|esac)\b", 3), (r";\s*(?:then|do)\s*$|^\s*then\s*$", 2),
        (r"\becho\b", 1), (r"\$\(\w", 1), (r"\$\{?\w+\}?", 0.6), (r"\[\[? .* \]\]?", 1.5),
        (r"^\s*(?:export|sudo|apt|cd|mkdir|grep|curl|set -\w)\b", 2), (r"^\w+=\S", 1),
    ),
    "PowerShell": (
        (r"\b(?:Get|Set|New|Remove|Write|Add|Import|Invoke|ForEach|Where)-[A-Z]\w+", 4),
        (r"\$\w+\s*=", 0.8), (r"\s-(?:eq|ne|gt|lt|like|Path|Filter|Recurse)\b", 2),
        (r"(?i)^\s*param\s*\(", 3), (r"\$_\.", 3),
    ),
    "HTML": (
        (r"<(?:html|head|body|div|span|p|a|ul|li|h[1-6]|form|input|table|script)\b[^>]*>", 2),
        (r"</\w+>", 1),
    ),
    "CSS": (
        (r"^\s*[.#]?[\w-]+(?:[ ,>:.#\w-]*)\s*\{\s*$", 1), (r"^\s*--?[\w-]+\s*:\s*[^;{]+;", 1),
        (r"^\s*(?:color|margin|padding|display|font[\w-]*|width|height|background)[\w-]*\s*:", 3),
        (r"^@(?:media|import|keyframes|font-face)\b", 4), (r"\b\d+(?:px|rem|em|vh|%)", 1),
    ),
}  # fmt: skip

MARKS: Mapping[str, Sequence[tuple[re.Pattern[str], float]]] = {
    name: tuple((re.compile(source, re.MULTILINE), weight) for source, weight in sources)
    for name, sources in _SOURCES.items()
}
"""Language → patterns with weights; of each pattern only the first few finds count."""
