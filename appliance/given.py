"""What the owner has given by variables and in files, and what is wrong with it in words.

Knows no setting.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.errors import SetupError

PREFIX = "APPLIANCE_"
FILE = "_FILE"


def variables(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """What is given by variables, and by files that `…_FILE` names, as secrets are."""
    found: dict[str, Any] = {}
    for name in names:
        variable = PREFIX + name.upper()
        if file := environ.get(variable + FILE):
            found[name] = _secret(variable + FILE, Path(file))
        if value := environ.get(variable):
            found[name] = value
    return found


def _secret(variable: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SetupError(
            "%(variable)s names %(file)s, which cannot be read: %(error)s.",
            variable=variable,
            file=file,
            error=error,
        ) from None


def lines_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SetupError(
            "%(file)s cannot be read: %(error)s. Mend or delete it.", file=path, error=error
        ) from None


def in_words(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"]) or "settings"
        if item["type"] == "extra_forbidden":
            lines.append(f"There is no setting {name!r}. See docs/settings.md for the list.")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"Setting {name!r} is {item['input']!r}: {message}.")
    return "\n".join(lines)
