"""Looks a model up on a hub by its two small JSON files, or in the local cache of the hub.

Less than 3 kB are fetched; weights are the worker's business.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from appliance.engine.hubs import Hub, hub_of
from appliance.errors import SetupError
from appliance.fit.hf_config import ModelFiles

TIMEOUT_S = 8.0
_CONFIG, _GENERATION = "config.json", "generation_config.json"


class HubFiles:
    """A `FileFinder`. `endpoint` is the setting: an address, `modelscope`, or None.

    Each model is looked up once in the life of the object.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._hub = hub_of(endpoint)
        self._known: dict[str, ModelFiles | None] = {}

    def __call__(self, model: str) -> ModelFiles | None:
        """None when the model is neither cached nor reachable.

        Raises SetupError when the hub answers that there is no such model or that it is locked.
        """
        if model not in self._known:
            self._known[model] = _cached(model) or _fetched(self._hub, model)
        return self._known[model]


def _cached(model: str) -> ModelFiles | None:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{model.replace('/', '--')}"
    try:
        snapshot = folder / "snapshots" / (folder / "refs" / "main").read_text("ascii").strip()
        config = _parsed((snapshot / _CONFIG).read_text("utf-8"))
        generation = snapshot / _GENERATION
        recommended = _parsed(generation.read_text("utf-8")) if generation.is_file() else {}
    except (OSError, ValueError):
        return None
    return ModelFiles(config, recommended or {}) if config is not None else None


def _fetched(hub: Hub, model: str) -> ModelFiles | None:
    import httpx2  # slow to import, and only an unknown model needs it

    token = os.environ.get("HF_TOKEN") if hub.kind == "huggingface" else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx2.Client(headers=headers, timeout=TIMEOUT_S, follow_redirects=True) as http:
            answer = http.get(hub.file_url(model, _CONFIG))
            if answer.status_code in (401, 403, 404):
                raise _not_there(hub, model, answer.status_code)
            config = _parsed(answer.text) if answer.is_success else None
            if config is None:
                return None
            answer = http.get(hub.file_url(model, _GENERATION))
            generation = _parsed(answer.text) if answer.is_success else None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return None
    return ModelFiles(config, generation or {})


def _parsed(text: str) -> dict[str, Any] | None:
    """Raises ValueError for a text that is no JSON."""
    values = json.loads(text)
    return values if isinstance(values, dict) else None


def _not_there(hub: Hub, model: str, status: int) -> SetupError:
    return SetupError(
        "The hub %(hub)s has no model %(model)s that you may read (status %(status)s): "
        "check the spelling, or set HF_TOKEN if the model is private or needs its licence "
        "accepted.",
        param="model",
        hub=hub.url,
        model=model,
        status=status,
    )
