"""Fetches a model from a hub: with progress, resumed where it was cut off, and checked.

A repository that is complete on disk is used without asking the network.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm

from appliance.engine.config import ModelSource
from appliance.engine.worker.checksum import sha256_of
from appliance.engine.worker.failure import LoadFailure, Progress

_WANTED = ("*.json", "*.jinja", "*.safetensors", "openvino_model.*")
_UNWANTED = ("original/*", "consolidated*")
_ATTEMPTS = 3
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(source: ModelSource, cache_dir: Path, endpoint: str | None, progress: Progress) -> Path:
    """A folder with the repository's files, or one file when the location names one
    (`owner/name/file.gguf`).

    Raises LoadFailure: `hub_unreachable`, `model_missing` or `model_corrupt`.
    """
    owner, name, *inside = source.location.split("/") if "/" in source.location else ("", "")
    wanted: dict[str, Any] = {
        "repo_id": f"{owner}/{name}" if owner else source.location,
        "revision": source.revision,
        "cache_dir": cache_dir / "hub",
        "endpoint": endpoint,
        "allow_patterns": ["/".join(inside)] if inside else list(_WANTED),
        "ignore_patterns": list(_UNWANTED),
    }
    folder = _local(wanted) or _download(wanted, source.location, progress)
    if damaged := _damaged(folder, cache_dir, progress):
        for file in damaged:
            _remove(file)
        folder = _download(wanted, source.location, progress)
        if damaged := _damaged(folder, cache_dir, progress):
            raise LoadFailure(
                "model_corrupt",
                f"{damaged[0].name} of {source.location} arrived damaged twice. Try again later, "
                "or use another hub.",
            )
    found = folder.joinpath(*inside)
    if not found.exists():
        raise LoadFailure("model_missing", f"The hub has no {source.location}.")
    return found


def _local(wanted: dict[str, Any]) -> Path | None:
    try:
        return Path(snapshot_download(**wanted, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _download(wanted: dict[str, Any], location: str, progress: Progress) -> Path:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return Path(snapshot_download(**wanted, tqdm_class=_bar(progress)))
        except (
            GatedRepoError,
            HFValidationError,
            RemoteEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        ) as error:
            raise LoadFailure(
                "model_missing",
                f"The hub has no model {location}, or does not give it to everyone.",
            ) from error
        except (OSError, HfHubHTTPError) as error:
            # What has arrived is kept; the next attempt asks for the rest.
            if attempt == _ATTEMPTS or isinstance(error, LocalEntryNotFoundError):
                raise LoadFailure(
                    "hub_unreachable",
                    f"{location} could not be fetched: the hub cannot be reached. Check the "
                    "network connection, or choose a model that is on this machine.",
                ) from error
    raise AssertionError("unreachable")


def _damaged(folder: Path, cache_dir: Path, progress: Progress) -> list[Path]:
    """Large files whose content is not what their name in the cache says.

    The hub's cache stores them under their SHA-256. Where links are not possible (Windows without
    the right) files lie in the folder itself and are taken as they are.
    """
    links = [file for file in folder.rglob("*") if file.is_symlink()]
    return [
        file
        for file in links
        if _SHA256.fullmatch(file.resolve().name)
        and (not file.exists() or sha256_of(file, cache_dir, progress) != file.resolve().name)
    ]


def _remove(file: Path) -> None:
    """The link and what it points to, so that the hub's library fetches it again."""
    file.resolve().unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _bar(progress: Progress) -> type[Any]:
    """A progress bar that draws nothing and reports the bytes that are on disk."""

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **values: Any) -> None:
            self._counts_bytes = str(values.get("desc", "")).startswith("Reconstruct")
            super().__init__(*args, **values | {"file": io.StringIO()})

        def display(self, *_: Any, **__: Any) -> bool:
            return True

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self._counts_bytes and self.total:
                progress("download", int(self.n), int(self.total))
            return shown

    return Bar
