"""Models that tests of the whole appliance name by their folder."""

from __future__ import annotations

from tests.engine.worker.conftest import cache_dir, demo_folder, demo_gguf, tiny_folder

__all__ = ["cache_dir", "demo_folder", "demo_gguf", "tiny_folder"]
