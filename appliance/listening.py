"""The port: a socket that listens before anything else is there, or a sentence on why it cannot."""

from __future__ import annotations

import socket

from appliance.errors import SetupError


def bind(host: str, port: int, flag: str = "--port") -> socket.socket:
    """A listening socket. Raises SetupError with what to do when the port is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if socket.has_dualstack_ipv6() and family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        _reuse(listener)
        listener.bind((host, port))
        # Listening from now on lets a browser that opens early wait instead of failing.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SetupError(
            "Port %(port)s on %(host)s cannot be used: %(error)s. Choose another with %(flag)s, "
            "for example %(flag)s %(other)s.",
            flag=flag,
            port=port,
            host=host,
            error=error.strerror or error,
            other=port + 1 if port < 65535 else 8001,
        ) from None
    return listener


def _reuse(listener: socket.socket) -> None:
    """POSIX: a restart need not wait for old connections. Windows: nobody may share our port."""
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
