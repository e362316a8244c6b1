"""What stands around the server while it runs: the name on the network and fresh certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from appliance import console
from appliance.folder import DataFolder
from appliance.lan.mdns import announced
from appliance.lan.network import Network
from appliance.lan.tls import (
    Certificate,
    GivenCertificate,
    OwnAuthority,
    context_for,
    keep_fresh,
    reload,
)
from appliance.settings import Settings


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate's source and the context that shows it."""

    source: Certificate
    context: ssl.SSLContext


def tls_for(settings: Settings, folder: DataFolder, network: Network) -> Tls | None:
    """None for plain HTTP. Raises SetupError when a given certificate cannot be used."""
    if network.scheme == "http":
        return None
    if settings.tls_cert is not None and settings.tls_key is not None:
        source: Certificate = GivenCertificate(settings.tls_cert, settings.tls_key)
    else:
        source = OwnAuthority(folder.tls, lambda: _names(settings, network))
    return Tls(source, context_for(source))


@asynccontextmanager
async def surroundings(
    settings: Settings, network: Network, tls: Tls | None
) -> AsyncIterator[None]:
    """All of it runs beside the block and ends with it."""
    tasks = []
    if settings.lan:
        tasks.append(asyncio.create_task(_be_known(settings, network, tls)))
    if tls is not None:
        tasks.append(asyncio.create_task(keep_fresh(tls.source, tls.context)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _be_known(settings: Settings, network: Network, tls: Tls | None) -> None:
    addresses = [str(one.ip) for one in network.addresses()]
    async with announced(settings.lan_name, network.port, addresses) as name:
        network.name = name
        if name is not None:
            console.say(f"On the network also as {network.url(name)}")
        if tls is not None:  # another name than the one it was made for
            await reload(tls.source, tls.context)
        await asyncio.Event().wait()


def _names(settings: Settings, network: Network) -> list[str]:
    addresses = [str(one.ip) for one in network.addresses()]
    return [*addresses, network.name or f"{settings.lan_name}.local"]
