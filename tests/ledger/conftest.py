"""Every test of the ledger runs on SQLite and on PostgreSQL, unless it is marked `sqlite`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.support import Cluster, Ledger, cluster, url_of

SQLITE = pytest.param("sqlite", id="sqlite")
POSTGRESQL = pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("sqlite")
        kinds = [SQLITE] if only else [SQLITE, POSTGRESQL]
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """One PostgreSQL for all tests of this process."""
    with cluster() as running:
        yield running


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a ledger of this test's own: a file that is not there yet, or a database without rows."""
    if request.param == "sqlite":
        return url_of(tmp_path / "appliance.db")
    running: Cluster = request.getfixturevalue("server")
    return running.emptied()


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    yield ledger
    ledger.close()


@pytest.fixture
def empty(server: Cluster) -> Iterator[str]:
    with server.new_database() as url:
        yield url


@pytest.fixture
def ready(server: Cluster) -> Iterator[Ledger]:
    ledger = Ledger(server.emptied())
    yield ledger
    ledger.close()
