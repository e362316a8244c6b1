"""From the words of `--model` to a model that the planner can size.

Names of the catalogue need nothing. A GGUF file is asked for its head, a folder and an unknown
hub id for their `config.json`; the latter is taken from the local hub cache, or fetched (less
than 2 kB).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.engine.config import ModelSource
from appliance.errors import SetupError
from appliance.fit.catalogue import Catalogue, ModelEntry
from appliance.fit.gguf import describe_gguf
from appliance.fit.hf_config import describe_config

HUB = "https://huggingface.co"
TIMEOUT_S = 8.0
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

ConfigFinder = Callable[[str], dict[str, Any] | None]


def describe(wish: str, catalogue: Catalogue, find_config: ConfigFinder) -> ModelEntry | None:
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
    config = find_config(wish)
    return None if config is None else describe_config(config, ModelSource("hub", wish), wish)


def _describe_folder(folder: Path) -> ModelEntry:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(
            "The folder %(path)s holds no readable config.json (%(error)s): name the folder that "
            "a model was downloaded into.",
            param="model",
            path=str(folder),
            error=str(error),
        ) from error
    source = ModelSource("folder", str(folder.absolute()))
    return describe_config(config, source, folder.absolute().name)


def hub_config(model: str) -> dict[str, Any] | None:
    """`config.json` of a hub model, or None when it is neither cached nor reachable.

    Raises SetupError when the hub answers that there is no such model or that it is locked.
    """
    cached = _cached_config(model)
    return cached if cached is not None else _fetch_config(model)


def _cached_config(model: str) -> dict[str, Any] | None:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{model.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text("ascii").strip()
        text = (folder / "snapshots" / revision / "config.json").read_text("utf-8")
        config: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return config


def _fetch_config(model: str) -> dict[str, Any] | None:
    import httpx2  # slow to import, and only an unknown model needs it

    endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{endpoint}/{model}/resolve/main/config.json"
    try:
        answer = httpx2.get(url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True)
    except httpx2.HTTPError:
        return None
    if answer.status_code in (401, 403, 404):
        raise SetupError(
            "The hub %(hub)s has no model %(model)s that you may read (status %(status)s): "
            "check the spelling, or set HF_TOKEN if the model is private or needs its licence "
            "accepted.",
            param="model",
            hub=endpoint,
            model=model,
            status=answer.status_code,
        )
    if not answer.is_success:
        return None
    try:
        config: dict[str, Any] = answer.json()
    except ValueError:
        return None
    return config
