"""What every test may lean on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings

from tests.live import Appliance, appliance
from tests.servers import RedisServer, running_redis

# Two processes of tests on few cores: threads that wait must not spin. Engines inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long one example takes on a busy machine proves nothing. And a check of one change must not
# fail by a case that chance brings up: at home, chance may search on.
settings.register_profile("ours", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ours")

TOGETHER = ("tests/engine/worker/", "tests/browser/", "tests/whole/")
"""What takes longest and shares models and servers comes first, each in one process of its own."""


def pytest_report_header() -> str | None:
    if find_spec("torch") is None:
        return "PyTorch is not installed: what runs on it is left out, and most of its tests too"
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Spread over processes, a file stays whole, and so does a folder of `TOGETHER`."""
    # Here, because pytest-xdist looks at the groups before any later hook of ours.
    item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: TOGETHER.index(g) if (g := _group(item)) in TOGETHER else 9)


def _group(item: pytest.Item) -> str:
    if item.get_closest_marker("postgresql"):
        return "postgresql"  # one server is enough
    file = item.nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(folder)), file)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for the tests of a file, each of which leaves it well."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One real appliance with the demo model for all tests that only use it as a client would."""
    with appliance(tmp_path_factory.mktemp("live"), "--model", "demo") as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="session")
def live_url(live: Appliance) -> str:
    return live.url
