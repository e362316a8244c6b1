"""Properties are about values: how long one example takes on a busy machine proves nothing."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("fit", deadline=None)
settings.load_profile("fit")
