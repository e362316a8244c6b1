from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance, scripted_appliance


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    with scripted_appliance(tmp_path_factory.mktemp("data"), max_concurrency=4) as running:
        yield running


@pytest.fixture
def client(house: ScriptedAppliance) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=house.url, timeout=20) as http:
        yield http
