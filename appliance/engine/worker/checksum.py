"""SHA-256 of large files, remembered: a file that has not changed is not read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from appliance.engine.worker.failure import Progress

_PIECE_BYTES = 4 * 1024 * 1024


def sha256_of(path: Path, cache_dir: Path, progress: Progress) -> str:
    """Hex digest of the file. Reports stage `verify` in bytes when it has to be read."""
    stat = path.stat()
    stamp = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32] + ".json"
    remembered = cache_dir / "checksums" / name
    try:
        seen, digest = json.loads(remembered.read_text(encoding="utf-8"))
        if seen == stamp:
            return str(digest)
    except (OSError, ValueError):
        pass
    digest = _read_through(path, stat.st_size, progress)
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.write_text(json.dumps([stamp, digest]), encoding="utf-8")
    return digest


def _read_through(path: Path, size: int, progress: Progress) -> str:
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            progress("verify", done, size)
    return digest.hexdigest()
