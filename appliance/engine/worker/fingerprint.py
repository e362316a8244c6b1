"""One SHA-256 that stands for a model's weights: of its file, or of all of them together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from appliance.engine.worker.checksum import remembered_sha256, sha256_of

_WEIGHTS = ("*.safetensors", "*.gguf", "openvino_model.bin", "openvino_model.xml")


def known_hash(weights: Path, cache_dir: Path) -> str | None:
    """The model's hash when all its files were read before; takes no time."""
    return _together(weights, lambda file: remembered_sha256(file, cache_dir))


def model_hash(weights: Path, cache_dir: Path) -> str | None:
    """The model's hash; reads what was never read, which takes seconds for each gigabyte.

    None for a folder without weights. Raises OSError.
    """
    return _together(weights, lambda file: sha256_of(file, cache_dir, _quietly))


def _together(weights: Path, digest_of: Callable[[Path], str | None]) -> str | None:
    if weights.is_file():
        return digest_of(weights)
    files = sorted({file for pattern in _WEIGHTS for file in weights.glob(pattern)})
    digests = [(digest_of(file), file.name) for file in files]
    if not digests or any(digest is None for digest, _ in digests):
        return None
    if len(digests) == 1:
        return digests[0][0]
    # As `sha256sum` would list them.
    lines = "".join(f"{digest}  {name}\n" for digest, name in digests)
    return hashlib.sha256(lines.encode()).hexdigest()


def _quietly(_stage: object, _done: int, _total: int) -> None:
    """The model is in use by now: nobody waits for this."""
