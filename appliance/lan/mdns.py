"""The appliance's name on the local network, by multicast DNS (RFC 6762): `appliance.local`."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroconf import Zeroconf

logger = logging.getLogger(__name__)
SERVICE = "_http._tcp.local."
ASK_MILLISECONDS = 800
MOST_NAMES = 20
Ask = Callable[[str], Awaitable[Sequence[str]]]


@asynccontextmanager
async def announced(
    wanted: str, port: int, addresses: Sequence[str], interfaces: list[str] | None = None
) -> AsyncIterator[str | None]:
    """Answer to `<wanted>.local` for as long as the block runs, and be found as a web page.

    Gives the name that it became: where another machine has it, `<wanted>-2.local` and so on.
    None when the network takes no announcement, which is no reason not to serve. `interfaces`:
    addresses of those to speak on; all by default.
    """
    from zeroconf import Error, InterfaceChoice, ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

    try:
        network = AsyncZeroconf(interfaces=interfaces or InterfaceChoice.All)
    except OSError as error:
        logger.warning("No name on the local network: %s", error)
        yield None
        return
    try:
        host = await free_name(partial(_holders, network.zeroconf), wanted, addresses)
        info = ServiceInfo(
            SERVICE,
            f"{host}.{SERVICE}",
            port=port,
            properties={"path": "/"},
            server=f"{host}.local.",
            parsed_addresses=list(addresses),
        )
        try:
            await (await network.async_register_service(info, allow_name_change=True))
        except (Error, OSError) as error:
            logger.warning("No name on the local network: %s", error)
            yield None
        else:
            yield f"{host}.local"
    finally:
        await network.async_close()


async def free_name(ask: Ask, wanted: str, own: Sequence[str]) -> str:
    """`wanted`, or the first with a number that no other machine answers to.

    The library looks for clashes of the service's name only; the host's name is ours to look up.
    """
    for number in range(1, MOST_NAMES):
        name = wanted if number == 1 else f"{wanted}-{number}"
        holders = {ipaddress.ip_address(one) for one in await ask(f"{name}.local.")}
        if holders <= {ipaddress.ip_address(one) for one in own}:
            return name  # nobody's, or our own from a moment ago
    return f"{wanted}-{MOST_NAMES}"


async def _holders(zeroconf: Zeroconf, name: str) -> Sequence[str]:
    """The addresses that machines on the network answer for this name."""
    # The package exports it without saying so in its types.
    from zeroconf._services.info import AddressResolverIPv4

    resolver = AddressResolverIPv4(name)
    await resolver.async_request(zeroconf, ASK_MILLISECONDS)
    return resolver.parsed_addresses()
