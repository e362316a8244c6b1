"""Browsers without JavaScript, at this machine and elsewhere."""

from __future__ import annotations

import httpx2

from tests.web.site import Site

OTHER_MACHINE = "192.168.1.20"


def visitor(site: Site, address: str, **headers: str) -> httpx2.AsyncClient:
    """A browser at `address`; it does not follow redirects by itself."""
    transport = httpx2.ASGITransport(site.app, client=(address, 40000))
    host = "localhost" if address == "127.0.0.1" else "192.168.1.10:8000"
    return httpx2.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)
