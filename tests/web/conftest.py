"""Pages over a real ledger, asked through HTTP as a browser would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser on this machine: the owner, without a key."""
    transport = httpx2.ASGITransport(app=site.app, client=("127.0.0.1", 50000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        yield browser


@pytest.fixture
async def stranger(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser on another machine, without a key so far."""
    async with visitor(site, OTHER_MACHINE) as browser:
        yield browser
