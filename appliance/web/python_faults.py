"""What Python says of a program that is not well-formed, as sentences that pages can translate.

Each sentence is CPython's own, of 3.11 to 3.13, with places for what it names: filled in again it
is what was said, so English pages show that. A test asks the running Python for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from appliance.domain import Phrase

# The first that fits is taken, so the more exact one stands before the more general.
SENTENCES = (
    Phrase("invalid syntax"),
    Phrase("invalid syntax. Perhaps you forgot a comma?"),
    Phrase("invalid syntax. Maybe you meant '==' or ':=' instead of '='?"),
    Phrase("cannot assign to %(what)s here. Maybe you meant '==' instead of '='?"),
    Phrase("cannot assign to %(what)s"),
    Phrase("cannot delete %(what)s"),
    Phrase("'%(what)s' is an illegal expression for augmented assignment"),
    Phrase('expression cannot contain assignment, perhaps you meant "=="?'),
    Phrase("'%(bracket)s' was never closed"),
    Phrase("unmatched '%(bracket)s'"),
    Phrase(
        "closing parenthesis '%(closing)s' does not match opening parenthesis '%(opening)s' "
        "on line %(line)s"
    ),
    Phrase("closing parenthesis '%(closing)s' does not match opening parenthesis '%(opening)s'"),
    Phrase("unterminated string literal (detected at line %(line)s)"),
    Phrase(
        "unterminated string literal (detected at line %(line)s); "
        "perhaps you escaped the end quote?"
    ),
    Phrase("unterminated f-string literal (detected at line %(line)s)"),
    Phrase("unterminated triple-quoted string literal (detected at line %(line)s)"),
    Phrase("unterminated triple-quoted f-string literal (detected at line %(line)s)"),
    Phrase("unexpected EOF while parsing"),
    Phrase("unexpected character after line continuation character"),
    Phrase("expected '%(token)s'"),
    Phrase("expected 'except' or 'finally' block"),
    Phrase("expected 'else' after 'if' expression"),
    Phrase("expected an indented block after '%(word)s' statement on line %(line)s"),
    Phrase("expected an indented block after function definition on line %(line)s"),
    Phrase("expected an indented block after class definition on line %(line)s"),
    Phrase("unexpected indent"),
    Phrase("unindent does not match any outer indentation level"),
    Phrase("inconsistent use of tabs and spaces in indentation"),
    Phrase("invalid character '%(character)s' (%(code)s)"),
    Phrase("invalid non-printable character %(code)s"),
    Phrase("Missing parentheses in call to '%(name)s'. Did you mean %(call)s(...)?"),
    Phrase("invalid decimal literal"),
    Phrase("invalid hexadecimal literal"),
    Phrase(
        "leading zeros in decimal integer literals are not permitted; "
        "use an 0o prefix for octal integers"
    ),
    Phrase("bytes can only contain ASCII literal characters"),
    Phrase("(unicode error) %(reason)s"),
    Phrase("positional argument follows keyword argument"),
    Phrase("positional argument follows keyword argument unpacking"),
    Phrase("non-default argument follows default argument"),
    Phrase("parameter without a default follows parameter with a default"),
    Phrase("Generator expression must be parenthesized"),
    Phrase("did you forget parentheses around the comprehension target?"),
    Phrase("multiple exception types must be parenthesized"),
    Phrase("trailing comma not allowed without surrounding parentheses"),
    Phrase("Expected one or more names after 'import'"),
    Phrase("Did you mean to use 'from ... import ...' instead?"),
    Phrase("':' expected after dictionary key"),
    Phrase("expression expected after dictionary key and ':'"),
    Phrase("f-string: expecting '}'"),
    Phrase("f-string: single '}' is not allowed"),
    Phrase("f-string: empty expression not allowed"),
    Phrase("f-string: valid expression required before '}'"),
    Phrase("f-string: %(problem)s"),
)
# What cannot be assigned to, in the sentences above; names of Python itself stay as they are.
_THINGS = {
    thing.template: thing
    for thing in (
        Phrase("function call"), Phrase("expression"), Phrase("literal"), Phrase("comparison"),
        Phrase("conditional expression"), Phrase("generator expression"), Phrase("ellipsis"),
        Phrase("list comprehension"), Phrase("set comprehension"), Phrase("dict comprehension"),
        Phrase("dict literal"), Phrase("set display"), Phrase("f-string expression"),
        Phrase("yield expression"), Phrase("await expression"),
    )
}  # fmt: skip


def phrase_of(said: str) -> Phrase | None:
    """The sentence that Python has `said`, with its values; None for one that is not listed."""
    for template, pattern in _patterns():
        if found := pattern.fullmatch(said):
            return Phrase(template, _values(found.groupdict()))
    return None


def _values(found: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {name: _THINGS.get(value, value) for name, value in found.items()}
    if "problem" in found:  # 3.11 says of what is within an f-string what it says elsewhere
        values["problem"] = phrase_of(found["problem"]) or found["problem"]
    return values


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((one.template, re.compile("".join(_pattern(one.template)))) for one in SENTENCES)


def _pattern(template: str) -> Iterator[str]:
    """A template as an expression whose groups are its places."""
    for number, part in enumerate(re.split(r"%\((\w+)\)s", template)):
        yield f"(?P<{part}>.+)" if number % 2 else re.escape(part)
