"""SHA-256 of large files, remembered: a file that has not changed is not read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from appliance.engine.worker.failure import Progress

_PIECE_BYTES = 4 * 1024 * 1024


def sha256_of(path: Path, cache_dir: Path, progress: Progress) -> str:
    """Hex digest of the file. Reports stage `verify` in bytes when it has to be read."""
    if (known := remembered_sha256(path, cache_dir)) is not None:
        return known
    stamp, note = _stamp(path), _note(path, cache_dir)
    digest = _read_through(path, path.stat().st_size, progress)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps([stamp, digest]), encoding="utf-8")
    return digest


def remembered_sha256(path: Path, cache_dir: Path) -> str | None:
    """The digest if the file was read before and has not changed since."""
    try:
        seen, digest = json.loads(_note(path, cache_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(digest) if seen == _stamp(path) else None


def _stamp(path: Path) -> list[str | int]:
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _note(path: Path, cache_dir: Path) -> Path:
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32] + ".json"
    return cache_dir / "checksums" / name


def _read_through(path: Path, size: int, progress: Progress) -> str:
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            progress("verify", done, size)
    return digest.hexdigest()
