"""The table of settings as command-line flags."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_origin

import typer
from pydantic.fields import FieldInfo

from appliance.given import PREFIX
from appliance.settings import Settings

# Defaults that mean no more than "not given".
UNSAID = (None, False, "", ())


def takes_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command that takes `**flags` one option for each named setting, or for all.

    A flag that is not given arrives as None, so that variables and the file keep their say.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        fields = {n: f for n, f in Settings.model_fields.items() if not names or n in names}
        named = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = [*named, *(_parameter(n, f) for n, f in fields.items())]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    return PREFIX + name.upper()


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    default = "" if field.default in UNSAID else f" [default: {_shown(field.default)}]"
    option = typer.Option(None, flag_of(name), help=f"{field.description}{default}")
    annotation: Any = field.annotation
    if get_origin(annotation) is tuple:
        annotation = list[str] | None  # a flag that may be given again
    elif field.default is not None:
        annotation = annotation | None
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=option, annotation=annotation)


def merged_flags(context: typer.Context, flags: Mapping[str, Any]) -> dict[str, Any]:
    """A flag may stand before or after the command's name; the later one wins."""
    given = {name: value for name, value in flags.items() if value not in (None, [])}
    return {**(context.find_root().obj or {}), **given}


def _shown(default: object) -> str:
    return "data, beside launcher.py" if isinstance(default, Path) else str(default)
