"""What a relayed request carries of its origin: one header, which only who knows the secret makes.

    x-appliance-relay: SECRET SCHEME PORT ADDRESS

Without an address nobody knows where the request came from.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.types import Scope

Headers = list[tuple[bytes, bytes]]

NAME = b"x-appliance-relay"
# As HTTP/1.1 wants it said that the client has named no host.
NO_HOST = (b"host", b"")
# RFC 9110, 7.6.1: what concerns one connection and not the message.
OF_ONE_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"}
    | {b"upgrade", b"proxy-authenticate", b"proxy-authorization"}
)


def onwards(headers: Iterable[tuple[bytes, bytes]], *also: bytes) -> Headers:
    """The headers that go on to the next connection; names are in lower case. Without `also`."""
    headers = list(headers)
    dropped = OF_ONE_CONNECTION.union(also)
    for name, value in headers:
        if name == b"connection":
            dropped |= {part.strip().lower() for part in value.split(b",")}
    return [(name, value) for name, value in headers if name not in dropped]


def ticket(scope: Scope, secret: str) -> tuple[bytes, bytes]:
    """The header for a request that was received as `scope`."""
    address, port = scope.get("client") or ("", 0)
    return NAME, f"{secret} {scope['scheme']} {port} {address}".strip().encode("latin-1")


def received(scope: Scope, secret: str) -> Scope | None:
    """The scope as the other front had it; None for a request without a good ticket."""
    shown = dict(scope["headers"]).get(NAME, b"").decode("latin-1")
    known, _, rest = shown.partition(" ")
    if not hmac.compare_digest(known.encode("latin-1"), secret.encode("latin-1")):
        return None
    scheme, port, *address = rest.split(" ", 2)
    headers = [one for one in scope["headers"] if one[0] != NAME and one != NO_HOST]
    client = (address[0], int(port)) if address else None
    return {**scope, "scheme": scheme, "client": client, "headers": headers}
