"""Finds the files of a model on this machine, or brings them here, and checks them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from appliance.engine.config import EngineConfig, ModelSource
from appliance.engine.worker.checksum import sha256_of
from appliance.engine.worker.failure import LoadFailure, Progress


def locate(config: EngineConfig, progress: Progress) -> Path:
    """A GGUF file or a folder that exists, with the right checksum when one was ordered.

    Raises LoadFailure.
    """
    source, cache_dir = config.source, Path(config.cache_dir)
    if source.kind == "hub":
        from appliance.engine.worker.hub import fetch

        path = fetch(source, cache_dir, config.hub_endpoint, progress)
    else:
        path = _package_file(source) if source.kind == "package" else Path(source.location)
        _must_exist(path, source)
    if source.sha256 and path.is_file():
        _check(path, source, sha256_of(path, cache_dir, progress))
    return path


def _package_file(source: ModelSource) -> Path:
    """A data file of a package, without importing it: its code may want packages we lack."""
    package, _, file = source.location.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LoadFailure(
            "model_missing",
            f"The package {package}, which carries the model, is not installed. Start the "
            "appliance with its launcher, which installs it.",
        )
    return Path(next(iter(spec.submodule_search_locations)), file)


def _must_exist(path: Path, source: ModelSource) -> None:
    if source.kind == "folder" and not path.is_dir():
        raise LoadFailure("model_missing", f"There is no model folder {path}.")
    if source.kind != "folder" and not path.is_file():
        raise LoadFailure("model_missing", f"There is no model file {path}.")


def _check(path: Path, source: ModelSource, digest: str) -> None:
    if digest == source.sha256:
        return
    cure = "Get the file again."
    if source.kind == "package":
        cure = "Delete the folder .venv and start the appliance again, which installs it anew."
    raise LoadFailure(
        "model_corrupt",
        f"{path.name} is damaged: its SHA-256 is {digest[:12]}… and should be "
        f"{str(source.sha256)[:12]}…. {cure}",
    )
