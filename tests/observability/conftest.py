from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.observability.scripted_nvml import ScriptedNvml
from tests.observability.watching import TOKEN
from tests.scripted_app import ScriptedAppliance, scripted_appliance


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    """One place at the engine, a token for scraping, and a machine with two scripted cards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pynvml", ScriptedNvml())
        folder = tmp_path_factory.mktemp("watched")
        with scripted_appliance(folder, max_concurrency=1, metrics_token=TOKEN) as running:
            yield running
