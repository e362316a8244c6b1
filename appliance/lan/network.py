"""Where the appliance listens, said as URLs. Knows nothing of what is served there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from appliance.lan.addresses import Address, addresses

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(slots=True)
class Network:
    """`host` is what the socket is bound to. `name` is the one that the network knows us by,
    such as `appliance.local`, once it does."""

    host: str
    port: int
    scheme: str = "http"
    name: str | None = None
    look: Callable[[], Sequence[Address]] = addresses

    @property
    def is_open(self) -> bool:
        """Whether other machines can connect at all."""
        return self.host in EVERYWHERE or not _is_loopback(self.host)

    def addresses(self) -> tuple[Address, ...]:
        """At which other machines reach us now: a laptop changes them as it moves."""
        if not self.is_open:
            return ()
        if self.host == "::":
            return tuple(self.look())
        own = (one for one in self.look() if one.ip.version == 4)
        return tuple(own) if self.host in EVERYWHERE else tuple(self._only_bound())

    def urls(self) -> tuple[str, ...]:
        """For other machines, the best first: by address, since every device understands that."""
        hosts = [str(one.ip) for one in self.addresses()]
        if self.name is not None and self.is_open:
            hosts.append(self.name)
        return tuple(self.url(host) for host in hosts)

    def url(self, host: str) -> str:
        shown = f"[{host}]" if ":" in host else host
        standard = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{shown}" + ("" if self.port == standard else f":{self.port}")

    @property
    def local_url(self) -> str:
        """For this machine itself; its port is always named."""
        host = "127.0.0.1" if self.host in EVERYWHERE else self.host
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def _only_bound(self) -> list[Address]:
        known = [one for one in self.look() if str(one.ip) == self.host]
        try:
            return known or [Address(ip_address(self.host), "")]
        except ValueError:  # bound by a name
            return known


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
