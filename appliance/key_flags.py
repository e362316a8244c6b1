"""The rules of a key as command-line options, the same for every command that sets them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import typer

from appliance.errors import SetupError

if TYPE_CHECKING:  # it brings the whole ledger with it, and --help must not wait for that
    from appliance.ledger.key_rules import KeyFields

# Flag, type, help. Several values are given by giving the flag again.
OPTIONS: dict[str, tuple[str, Any, str]] = {
    "expires": ("--expires", str | None, "Lifetime, such as 30d or 12h."),
    "rate": ("--rate", str | None, "Requests allowed, such as 60/minute."),
    "tokens_per_minute": ("--tokens-per-minute", int | None, "Tokens read and written a minute."),
    "tokens_per_day": ("--tokens-per-day", int | None, "Tokens read and written a day."),
    "parallel": ("--parallel", int | None, "Requests waiting or running at once."),
    "max_tokens": ("--max-tokens", int | None, "Longest answer, in tokens."),
    "scopes": (
        "--scope",
        list[str] | None,
        "What it may: chat, history, admin; may be repeated.",
    ),
    "models": ("--for-model", list[str] | None, "A model it may use; may be given again."),
    "assistants": ("--assistant", list[str] | None, "An assistant it may use; may be repeated."),
    "log_content": ("--record", str | None, "What is recorded of its requests: full or metadata."),
    "admin": ("--admin", bool, "May manage keys and the engine."),
}
CLEARED = tuple(name for name in OPTIONS if name not in ("scopes", "admin"))


def takes_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that takes `**flags` one option for each rule of a key."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    rest = [p for p in signature.parameters.values() if p not in own]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=typer.Option(False if kind is bool else None, flag, help=text),
            annotation=kind,
        )
        for name, (flag, kind, text) in OPTIONS.items()
    ]
    parameters = [*own, *added, *rest]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def rules_of(flags: Mapping[str, Any], cleared: tuple[str, ...] = ()) -> KeyFields:
    """What was said of a key; `cleared` names the limits that it loses. Raises SetupError."""
    given: dict[str, Any] = {
        name: value
        for name in OPTIONS
        if (value := flags.get(name)) is not None and value is not False and value != []
    }
    for flag in cleared:
        given[_named(flag)] = None
    if "expires" in given:
        text = given.pop("expires")
        given["expires_at"] = None if text is None else datetime.now(UTC) + lifetime(text)
    if given.pop("admin", False):
        given["scopes"] = [*given.get("scopes", ("chat",)), "admin"]
    return cast("KeyFields", given)


def _named(flag: str) -> str:
    """The rule that a flag, with or without its dashes, stands for. Raises SetupError."""
    wanted = "--" + flag.strip().lstrip("-")
    found = [name for name in CLEARED if OPTIONS[name][0] == wanted]
    if not found:
        raise SetupError(
            "There is no limit %(flag)s to take away. Allowed: %(allowed)s.",
            flag=repr(flag),
            allowed=", ".join(OPTIONS[one][0][2:] for one in CLEARED),
        )
    return found[0]


def lifetime(text: str) -> timedelta:
    """`30d`, `12h` or `45m` as a duration. Raises SetupError otherwise."""
    units = {"d": "days", "h": "hours", "m": "minutes"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal() or int(number) == 0:
        raise SetupError(
            "A lifetime is a number and d, h or m, such as 30d; this was %(text)s.",
            text=repr(text),
        )
    try:
        return timedelta(**{units[unit]: int(number)})
    except OverflowError:
        raise SetupError("A lifetime of %(text)s is too long.", text=text) from None
