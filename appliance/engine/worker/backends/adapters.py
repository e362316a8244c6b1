"""LoRA adapters in peft's layout, loaded beside a model for transformers; one answers at a time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.engine.config import Adapter
from appliance.engine.worker.failure import LoadFailure

_FILES = ("adapter_config.json", "adapter_model.safetensors")


class Adapters:
    """Loads all of them at once. Raises LoadFailure that names the folder."""

    def __init__(self, model: Any, adapters: Sequence[Adapter]) -> None:
        self._model = model
        # Names of users may hold characters that a module's name must not.
        self._modules = {each.name: f"served_{index}" for index, each in enumerate(adapters)}
        with warnings.catch_warnings():
            # Several are meant.
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            for each in adapters:
                _load(model, each, self._modules[each.name])
        model.disable_adapters()

    def switch(self, name: str | None) -> None:
        """From the next step on; None is the model itself. Between two steps only."""
        if name is None:
            self._model.disable_adapters()
            return
        self._model.enable_adapters()
        self._model.set_adapter(self._modules[name])


def _load(model: Any, adapter: Adapter, module_name: str) -> None:
    folder = Path(adapter.folder)
    for name in _FILES:
        if not (folder / name).is_file():
            raise LoadFailure(
                "model_missing",
                f"The adapter {adapter.name} needs {name} in {folder}, which is not there. "
                "Give the folder that peft's save_pretrained has written.",
            )
    _check_kind(folder, adapter.name)
    try:
        found = model.load_adapter(
            str(folder),
            adapter_name=module_name,
            # As its own argument this would not reach the reading of the weights.
            adapter_kwargs={"local_files_only": True},
            use_safetensors=True,
        )
    except ModuleNotFoundError:
        raise
    except Exception as error:  # peft, safetensors and transformers each raise their own kinds
        raise _misfit(adapter.name, folder, " ".join(str(error).split())[:300]) from error
    # The weights of the adapters before this one count as missing too.
    missing = [key for key in sorted(found.missing_keys) if f".{module_name}." in key]
    strange = missing + sorted(found.unexpected_keys)
    if strange or found.mismatched_keys:
        names = [str(each) for each in [*strange, *found.mismatched_keys]][:3]
        raise _misfit(adapter.name, folder, f"its weights differ in {', '.join(names)}")


def _check_kind(folder: Path, name: str) -> None:
    try:
        kind = json.loads((folder / "adapter_config.json").read_text("utf-8")).get("peft_type")
    except (ValueError, AttributeError) as error:
        raise LoadFailure(
            "model_corrupt", f"adapter_config.json of the adapter {name} is damaged: {error}"
        ) from error
    if kind != "LORA":
        raise LoadFailure(
            "load_failed",
            f"The adapter {name} in {folder} is of kind {kind}; only LORA can be served.",
        )


def _misfit(name: str, folder: Path, detail: str) -> LoadFailure:
    return LoadFailure(
        "load_failed",
        f"The adapter {name} in {folder} could not be put beside this model: {detail}. "
        "Was it trained on another model?",
    )
