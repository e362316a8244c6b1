"""The name on the network, with real multicast on this machine's own interface."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import zeroconf.asyncio
from zeroconf._services.info import AddressResolverIPv4
from zeroconf.asyncio import AsyncZeroconf

from appliance.lan.mdns import announced, free_name

pytestmark = pytest.mark.anyio
HERE = ["127.0.0.1"]


async def resolved(name: str) -> list[str]:
    asking = AsyncZeroconf(interfaces=HERE)
    try:
        resolver = AddressResolverIPv4(f"{name}.")
        await resolver.async_request(asking.zeroconf, 20_000)  # ends with the first answer
        return resolver.parsed_addresses()
    finally:
        await asking.async_close()


async def test_others_find_it_by_its_name() -> None:
    async with announced("appliance-test", 8000, ["127.0.0.1"], HERE) as name:
        assert name == "appliance-test.local"
        assert await resolved(name) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ({}, "appliance"),
        ({"appliance.local.": ["192.168.1.10"]}, "appliance"),
        ({"appliance.local.": ["192.168.1.99"]}, "appliance-2"),
        (
            {"appliance.local.": ["192.168.1.99"], "appliance-2.local.": ["192.168.1.98"]},
            "appliance-3",
        ),
    ],
)
async def test_a_name_that_another_machine_has_is_left_to_it(
    held: Mapping[str, list[str]], name: str
) -> None:
    async def ask(name: str) -> list[str]:
        return held.get(name, [])

    assert await free_name(ask, "appliance", ["192.168.1.10"]) == name


async def test_a_network_that_takes_no_announcement_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> None:
        raise OSError("port 5353 is taken")

    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", refuse)
    async with announced("appliance-test", 8000, ["127.0.0.1"], HERE) as name:
        assert name is None
