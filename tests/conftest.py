"""What every test may lean on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import Appliance, appliance


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One real appliance with the demo model for all tests that only use it as a client would."""
    with appliance(tmp_path_factory.mktemp("live"), "--model", "demo") as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="session")
def live_url(live: Appliance) -> str:
    return live.url
