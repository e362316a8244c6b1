"""A model's folder in the cache: the list of its files, and whether they are here and whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from appliance.engine.worker.checksum import sha256_of
from appliance.engine.worker.download import PARTIAL
from appliance.engine.worker.failure import LoadFailure, Progress
from appliance.engine.worker.listing import RemoteFile

_WANTED = ("*.json", "*.jinja", "*.safetensors", "openvino_model.*")
_UNWANTED = ("original/*", "consolidated*")


@dataclass(frozen=True, slots=True)
class Repository:
    """`only` is set when one file of the repository is wanted, and not the model as such."""

    folder: Path
    only: str | None
    cache_dir: Path
    progress: Progress

    @property
    def path(self) -> Path:
        """What the caller wants: the folder, or the file in it."""
        return self.folder if self.only is None else self.folder / self.only

    def wants(self, path: str) -> bool:
        if self.only is not None:
            return path == self.only
        wanted = any(fnmatch(path, pattern) for pattern in _WANTED)
        return wanted and not any(fnmatch(path, pattern) for pattern in _UNWANTED)

    def remember(self, files: Sequence[RemoteFile]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(file) for file in files])
        self._list.write_text(text, "utf-8")

    def remembered(self) -> list[RemoteFile] | None:
        """The list of an earlier fetch."""
        try:
            entries = json.loads(self._list.read_text("utf-8"))
            return [RemoteFile(**entry) for entry in entries]
        except (OSError, ValueError, TypeError):
            return None

    def unfinished(self, files: Sequence[RemoteFile]) -> list[RemoteFile]:
        """Files that are not here, or not as listed; those are removed."""
        return [file for file in files if not self._is_whole(file)]

    def need_room(self, files: Sequence[RemoteFile], model: str) -> None:
        """A disk that fills up in the middle harms other programs: say so before.

        Raises LoadFailure `load_failed`.
        """
        needed = sum(file.size for file in files)
        needed -= sum(one.stat().st_size for one in self.folder.rglob("*" + PARTIAL))
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise LoadFailure(
                "load_failed",
                f"{model} needs {needed / 1e9:.1f} GB more on the disk, and {free / 1e9:.1f} GB "
                "are free. Make room, or choose another --data-dir.",
            )

    def _is_whole(self, file: RemoteFile) -> bool:
        path = self.folder / file.path
        if not path.is_file():
            return False
        if path.stat().st_size == file.size and (
            file.sha256 is None or sha256_of(path, self.cache_dir, self.progress) == file.sha256
        ):
            return True
        path.unlink()
        return False

    @property
    def _list(self) -> Path:
        suffix = "" if self.only is None else "." + self.only.replace("/", "--")
        return self.folder / f".files{suffix}.json"
