"""Secrets in texts, made unreadable before anything is written down.

People paste keys and card numbers into chats. The engine sees what was sent; the record does not.
Knows patterns only: a secret that looks like an ordinary word cannot be told from one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

KEY = "[API key masked]"
TOKEN = "[token masked]"  # noqa: S105 - what stands in a secret's place is none
PRIVATE_KEY = "[private key masked]"
PASSWORD = "[password masked]"  # noqa: S105
CARD = "[card number masked]"

# A pattern is looked for only where one of its marks occurs: finding a mark is a hundred times
# faster, and nearly every text has none.
_MARKED: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (
        ("PRIVATE KEY",),
        # Cut off in the middle, it is a secret up to its end all the same.
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?"
            r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
            re.DOTALL,
        ),
        PRIVATE_KEY,
    ),
    (
        (
            *("sk-", "sk_", "rk_", "pk_", "hf_", "gh", "glpat-", "xox", "AKIA", "ASIA", "AIza"),
            *("github_pat_", "npm_", "pypi-", "gsk_", "r8_", "SG."),
        ),
        re.compile(
            r"(?<![A-Za-z0-9])(?:"
            r"sk-[A-Za-z0-9_-]{16,}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{30,}"
            r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,}"
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}"
            r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|gsk_[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{30,}"
            r"|SG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}"
            r")"
        ),
        KEY,
    ),
    (
        ("eyJ",),
        re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
        TOKEN,
    ),
    (
        ("earer", "EARER"),
        re.compile(
            r"(?<=[Bb]earer )\s*[A-Za-z0-9._~+/-]{16,}=*|(?<=BEARER )[A-Za-z0-9._~+/-]{16,}"
        ),
        TOKEN,
    ),
    (
        ("://",),
        re.compile(r"(?<=://)([^\s/:@]+):[^\s/@]+(?=@)"),
        rf"\1:{PASSWORD}",
    ),
)
# Named as a secret, long, and of letters and digits: a word or a call of a function is none.
_NAMED = re.compile(
    r"(?i)(?<![a-z])((?:api|access|secret|auth|client|account)[_-]?(?:key|token|secret)|token|"
    r"password|passwd|secret)(\\?[\"']?\s*[:=]\s*\\?[\"']?)"
    r"(?=[a-z+/_=-]*\d)(?=[\d+/_=-]*[a-z])[a-z0-9+/_=-]{16,}"
)
_NAMES = ("key", "token", "secret", "passw", "KEY", "TOKEN", "SECRET", "PASSW", "Key", "Token")
# The lengths and beginnings of cards; single spaces or dashes between the digits.
_CARD = re.compile(
    r"(?<![\d.-])(?:"
    r"4\d{3}(?:[ -]?\d{4}){3}(?:[ -]?\d{3})?"
    r"|(?:5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|[25]\d{2})|35\d{2})(?:[ -]?\d{4}){3}(?:[ -]?\d{1,3})?"
    r"|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}"
    r"|3(?:0[0-5]|[68]\d)\d[ -]?\d{6}[ -]?\d{4}"
    r")(?![\d-]|\.\d)"
)
# How every card begins: what does not have this costs a tenth of looking for a card.
_CARD_BEGINS = re.compile(r"[2-6]\d{3}[ -]?\d{4}")
# A chat sends its history with every message; so many texts of a usual size are not masked again.
REMEMBERED, REMEMBERED_CHARACTERS = 1000, 20_000


def masked(value: Any) -> Any:
    """`value` with every secret in its texts replaced; lists and dicts all the way down."""
    match value:
        case str():
            short = len(value) <= REMEMBERED_CHARACTERS
            return _remembered(value) if short else masked_text(value)
        case list() | tuple():
            return [masked(each) for each in value]
        case dict():
            return {name: masked(each) for name, each in value.items()}
        case _:
            return value


def masked_text(text: str) -> str:
    for marks, pattern, instead in _MARKED:
        if _has_any(text, marks):
            text = pattern.sub(instead, text)
    if _has_any(text, _NAMES):
        text = _NAMED.sub(rf"\1\2{KEY}", text)
    return _CARD.sub(_card, text) if _CARD_BEGINS.search(text) else text


_remembered = lru_cache(REMEMBERED)(masked_text)


def _has_any(text: str, marks: Iterable[str]) -> bool:
    for mark in marks:  # noqa: SIM110 - a generator costs three times as much
        if mark in text:
            return True
    return False


def _card(match: re.Match[str]) -> str:
    return CARD if is_card_number(match.group()) else match.group()


def is_card_number(text: str) -> bool:
    """Whether the digits in `text` bear out their last one, as Luhn has it."""
    digits = [int(sign) for sign in reversed(text) if sign.isdecimal()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
