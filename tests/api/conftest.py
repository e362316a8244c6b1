from __future__ import annotations

from collections.abc import Iterator

import httpx2
import openai
import pytest

from tests.scripted_app import ScriptedAppliance, scripted_appliance


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    with scripted_appliance(tmp_path_factory.mktemp("data"), max_concurrency=4) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    """One place at the engine, and short lines before it."""
    limits = {"queue_limit": 60, "queue_limit_per_key": 55}
    folder = tmp_path_factory.mktemp("narrow")
    with scripted_appliance(folder, max_concurrency=1, cache_minutes=0, **limits) as running:
        yield running


@pytest.fixture
def client(house: ScriptedAppliance) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=house.url, timeout=20) as http:
        yield http


@pytest.fixture
def sdk(house: ScriptedAppliance) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=house.url + "/v1", api_key="none", max_retries=0) as made:
        yield made
