"""Under which addresses other machines reach this one. Knows nothing of what listens there."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import psutil

# Bridges of containers and virtual machines: other machines cannot come in there.
VIRTUAL = ("docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "cni", "flannel", "vEthernet")
# Reserved for documentation, so nobody is there; to ask for the way sends nothing.
NOWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Address:
    """One address of this machine and the network interface that has it."""

    ip: IPv4Address | IPv6Address
    interface: str

    @property
    def is_public(self) -> bool:
        """Whether the whole internet may reach it, unless a firewall stands before it."""
        return self.ip.is_global

    def __str__(self) -> str:
        return f"{self.ip} ({self.interface})"


def addresses() -> tuple[Address, ...]:
    """Those of this machine now, the one on the way to the internet first."""
    return listed(psutil.net_if_addrs(), _on_the_way_out())


def listed(interfaces: Mapping[str, Sequence[Any]], first: str | None) -> tuple[Address, ...]:
    """The addresses in psutil's answer that another machine can reach; IPv4 before IPv6."""
    found = [
        Address(ip, name)
        for name, entries in interfaces.items()
        if not name.startswith(VIRTUAL)
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
        for ip in [ip_address(entry.address.partition("%")[0])]
        if not (ip.is_loopback or ip.is_link_local or ip.is_unspecified)
    ]
    return tuple(sorted(found, key=lambda one: (one.ip.version, str(one.ip) != first)))


def _on_the_way_out() -> str | None:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(NOWHERE)
        return str(probe.getsockname()[0])
    return None
