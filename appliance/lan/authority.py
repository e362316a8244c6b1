"""A certificate authority of this machine's own, and the server certificate that it signs.

It may vouch for private addresses and local names only (name constraints, RFC 5280 §4.2.1.10), so
a stolen key of it cannot pretend to be a bank. It knows files and names, not the server.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.lan import authority_parts as parts

AUTHORITY_LIFE = timedelta(days=3650)
# Apple refuses server certificates that live longer than 825 days, and browsers want far less.
SERVER_LIFE = timedelta(days=90)
RENEWED_BEFORE = timedelta(days=30)


class Authority:
    """The files of one folder, readable by their owner alone: `authority.pem` is what devices are
    told to trust, `server.pem` what the server shows; each has a `.key`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.root, self._root_key = folder / "authority.pem", folder / "authority.key"

    def renew(self, names: Sequence[str], now: datetime) -> bool:
        """Make what is missing, soon at its end, or for other names. True when anything was.

        Raises OSError when the folder cannot be written.
        """
        wanted = [name for name in dict.fromkeys(names) if parts.is_local(name)]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._root_is_good(now):
            self._make_root(now)
        elif self._server_is_good(wanted, now):
            return False
        self._make_server(wanted, now)
        return True

    def _root_is_good(self, now: datetime) -> bool:
        try:
            parts.read_key(self._root_key)
            return parts.read_certificate(self.root).not_valid_after_utc > now + SERVER_LIFE
        except parts.UNREADABLE:
            return False

    def _server_is_good(self, names: Sequence[str], now: datetime) -> bool:
        try:
            found = parts.read_certificate(self.certificate)
            found.verify_directly_issued_by(parts.read_certificate(self.root))
            if parts.read_key(self.key).public_key() != found.public_key():
                return False
        except parts.UNREADABLE:
            return False
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_lasting = found.not_valid_after_utc - now > RENEWED_BEFORE
        return is_lasting and set(said) == set(parts.alternative(names))

    def _make_root(self, now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        # The day tells a new authority from an old one in a device's list.
        name = parts.named(f"Appliance on {socket.gethostname()[:32]}, {now:%Y-%m-%d}")
        builder = (
            parts.begun(name, name, key, now, AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(parts.usage(signs_certificates=True), critical=True)
            .add_extension(parts.constraints(), critical=True)
        )
        parts.write_private(self._root_key, parts.pem_of_key(key))
        parts.write_private(self.root, parts.pem_of(parts.signed(builder, key)))

    def _make_server(self, names: Sequence[str], now: datetime) -> None:
        root, signer = parts.read_certificate(self.root), parts.read_key(self._root_key)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            parts.begun(parts.named("Appliance"), root.subject, key, now, SERVER_LIFE)
            .add_extension(x509.SubjectAlternativeName(parts.alternative(names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(parts.usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        parts.write_private(self.key, parts.pem_of_key(key))
        shown = parts.pem_of(parts.signed(builder, signer)) + parts.pem_of(root)
        parts.write_private(self.certificate, shown)


def fingerprint(pem: bytes) -> str:
    """SHA-256 of a certificate, as people compare it: `AB:CD:…`."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex(":").upper()
