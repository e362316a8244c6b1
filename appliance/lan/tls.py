"""The server's TLS: certificates of our own authority or the owner's, loaded anew while running.

New certificates are put into the same context, so connections that stand are not disturbed and the
next one is shown the new certificate.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from appliance.errors import SetupError

logger = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 60.0


class Certificate(Protocol):
    """Where a certificate and its key lie. `refresh` is True when they are other ones now."""

    certificate: Path
    key: Path

    def refresh(self) -> bool: ...


class OwnAuthority:
    """A certificate that we sign ourselves, for the names and addresses of the moment."""

    def __init__(self, folder: Path, names: Callable[[], Sequence[str]]) -> None:
        from appliance.lan.authority import Authority  # only where it is asked for

        self._authority = Authority(folder)
        self._names = names
        self.certificate, self.key = self._authority.certificate, self._authority.key

    def refresh(self) -> bool:
        return self._authority.renew([*own_names(), *self._names()], datetime.now(UTC))


class GivenCertificate:
    """Files of the owner's, which some other program may renew."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate, self.key = certificate, key
        self._seen: tuple[int, int] | None = None

    def refresh(self) -> bool:
        seen = (self.certificate.stat().st_mtime_ns, self.key.stat().st_mtime_ns)
        changed, self._seen = seen != self._seen, seen
        return changed


def context_for(source: Certificate) -> ssl.SSLContext:
    """A server's context with the certificate. Raises SetupError when it cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        source.refresh()
        _load(source, context)
    except OSError as error:
        raise SetupError(
            "The certificate %(certificate)s with the key %(key)s cannot be used: %(error)s. "
            "Give both in PEM form, the key without a password.",
            certificate=source.certificate,
            key=source.key,
            error=error.strerror or error,
        ) from None
    return context


def client_context(authority: bytes | None) -> ssl.SSLContext:
    """For commands that call the appliance on this machine, whose own certificate may be for
    another name: whoever answers there is the appliance that the data folder tells of."""
    context = ssl.create_default_context()
    if authority is not None:
        context.load_verify_locations(cadata=authority.decode())
    context.check_hostname = False
    return context


async def keep_fresh(
    source: Certificate, context: ssl.SSLContext, every: float = LOOK_EVERY_SECONDS
) -> None:
    """Load the certificate anew whenever it has changed. Runs until it is cancelled."""
    while True:
        await asyncio.sleep(every)
        await reload(source, context)


async def reload(source: Certificate, context: ssl.SSLContext) -> None:
    """A certificate that is half written, or no longer there, leaves the old one in use."""
    try:
        if await asyncio.to_thread(source.refresh):
            # OpenSSL takes the certificate before it looks at the key: a wrong pair would leave
            # the living context without any, so another one tries it first.
            _load(source, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            # Not in a thread: between its two steps no handshake may come.
            _load(source, context)
    except OSError:
        logger.exception("The certificate could not be loaded anew; the old one stays in use")


def _load(source: Certificate, context: ssl.SSLContext) -> None:
    # Without an answer of ours, OpenSSL would ask the terminal for the key's password.
    context.load_cert_chain(source.certificate, source.key, password=lambda: b"")


def own_names() -> list[str]:
    """What this machine calls itself."""
    host = socket.gethostname().partition(".")[0].casefold()
    return ["localhost", "127.0.0.1", "::1", f"{host}.local"]
