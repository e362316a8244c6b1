"""From the words of `--model` to a model that the planner can size.

Names of the catalogue need nothing. A GGUF file is asked for its head, a folder and an unknown
hub id for their `config.json` and `generation_config.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.engine.config import ModelSource
from appliance.errors import SetupError
from appliance.fit.catalogue import Catalogue, ModelEntry
from appliance.fit.gguf import describe_gguf
from appliance.fit.hf_config import ModelFiles, describe_config

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

FileFinder = Callable[[str], ModelFiles | None]


def describe(wish: str, catalogue: Catalogue, find_config: FileFinder) -> ModelEntry | None:
    """The model that `wish` names. None: an unknown hub id while the hub is out of reach.

    Raises SetupError for anything that is no model.
    """
    known = catalogue.find(wish)
    if known is not None:
        return known
    path = Path(wish).expanduser()
    if path.is_dir():
        return _describe_folder(path)
    if path.suffix.lower() == ".gguf":
        return describe_gguf(path)
    if not _HUB_ID.fullmatch(wish) or path.exists():
        raise SetupError(
            "%(model)s is no model: give auto, demo, a hub id such as Qwen/Qwen3-4B, a folder "
            "with a config.json, or a .gguf file.",
            param="model",
            model=wish,
        )
    files = find_config(wish)
    return None if files is None else describe_config(files, ModelSource("hub", wish), wish)


def _describe_folder(folder: Path) -> ModelEntry:
    try:
        config = _read(folder / "config.json")
        recommends = folder / "generation_config.json"
        generation = _read(recommends) if recommends.is_file() else {}
    except (OSError, ValueError) as error:
        raise SetupError(
            "The folder %(path)s holds no readable config.json (%(error)s): name the folder that "
            "a model was downloaded into.",
            param="model",
            path=str(folder),
            error=str(error),
        ) from error
    source = ModelSource("folder", str(folder.absolute()))
    return describe_config(ModelFiles(config, generation), source, folder.absolute().name)


def _read(file: Path) -> dict[str, Any]:
    values = json.loads(file.read_text("utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{file.name} is not a JSON object")
    return values
