"""Under which addresses the appliance is reached, and what the owner is told about them."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from appliance.lan.addresses import Address, addresses, listed
from appliance.lan.network import Network
from appliance.lan.qr import as_image, as_text
from appliance.opening import who_can_reach

WIFI = Address(ip_address("192.168.1.10"), "wlan0")
CABLE = Address(ip_address("10.0.0.4"), "eth0")
ALL = "0.0.0.0"  # noqa: S104 - not bound
PUBLIC = Address(ip_address("93.184.216.34"), "ppp0")
SIX = Address(ip_address("fd00::10"), "wlan0")


def entry(address: str) -> SimpleNamespace:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return SimpleNamespace(family=family, address=address)


def test_what_no_other_machine_can_reach_is_left_out_and_the_way_out_comes_first() -> None:
    found = listed(
        {
            "lo": [entry("127.0.0.1"), entry("::1")],
            "eth0": [entry("10.0.0.4"), entry("fe80::1%eth0")],
            "docker0": [entry("172.17.0.1")],
            "wlan0": [entry("fd00::10"), entry("192.168.1.10"), entry("169.254.3.3")],
        },
        first="192.168.1.10",
    )
    assert found == (WIFI, CABLE, SIX)


def test_this_machine_can_be_asked() -> None:
    assert all(not one.ip.is_loopback for one in addresses())


@pytest.mark.parametrize(
    ("host", "urls"),
    [
        ("127.0.0.1", ()),
        ("localhost", ()),
        ("::1", ()),
        (ALL, ("http://192.168.1.10:8000", "http://appliance.local:8000")),
        ("10.0.0.4", ("http://10.0.0.4:8000", "http://appliance.local:8000")),
        ("10.9.9.9", ("http://10.9.9.9:8000", "http://appliance.local:8000")),
        (
            "::",
            (
                "http://192.168.1.10:8000",
                "http://[fd00::10]:8000",
                "http://appliance.local:8000",
            ),
        ),
    ],
)
def test_addresses_for_others_follow_what_is_listened_on(host: str, urls: tuple[str, ...]) -> None:
    def look() -> tuple[Address, ...]:
        return (CABLE, WIFI) if host == "10.0.0.4" else (WIFI, SIX)

    network = Network(host, 8000, name="appliance.local", look=look)
    assert network.urls() == urls
    assert network.is_open == bool(urls)


def test_the_standard_port_is_not_said() -> None:
    assert Network(ALL, 443, "https").url("a.local") == "https://a.local"
    assert Network(ALL, 443).url("a.local") == "http://a.local:443"
    assert Network(ALL, 443, "https").local_url == "https://127.0.0.1:443"


def test_the_owner_reads_who_can_reach_it_and_what_crosses_in_the_open() -> None:
    said = "\n".join(who_can_reach(Network(ALL, 8000, look=lambda: (WIFI,)), ["anna", "ben"]))
    assert "http://192.168.1.10:8000 (wlan0)" in said
    assert "2 keys open it: anna, ben." in said
    assert "unencrypted" in said
    assert "public" not in said
    private = Network(ALL, 8000, "https", look=lambda: (WIFI,))
    assert "unencrypted" not in "\n".join(who_can_reach(private, ["anna"]))


def test_a_public_address_is_a_warning() -> None:
    said = who_can_reach(Network(ALL, 8000, look=lambda: (WIFI, PUBLIC)), ["anna"])
    (warning,) = [line for line in said if line.startswith("!")]
    assert "93.184.216.34 on ppp0" in warning
    assert "the whole internet" in warning


def test_a_link_becomes_a_picture_and_blocks_of_text() -> None:
    link = "http://192.168.1.10:8000/join?code=abcdefghijklmnopqrstuv"
    assert as_image(link).startswith("data:image/svg+xml")
    lines = as_text(link).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set("".join(lines)) <= set("█▀▄ ")
    assert as_text(link) != as_text(link + "x")
