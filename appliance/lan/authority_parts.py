"""What certificates are built of: names, limits, keys and files. Decides nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import NameOID

PRIVATE_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
LOCAL_DOMAINS = ("local", "localhost", "lan", "home", "home.arpa", "internal", "fritz.box")
CLOCKS_DIFFER = timedelta(days=1)
UNREADABLE = (OSError, ValueError, TypeError, InvalidSignature)


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    """A certificate but for what it may be used for."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def signed(builder: x509.CertificateBuilder, signer: EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(signer, hashes.SHA256())


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def constraints() -> x509.NameConstraints:
    """Private addresses and local names, and nothing else in the world."""
    addresses = [x509.IPAddress(network) for network in PRIVATE_NETWORKS]
    domains = [x509.DNSName(domain) for domain in LOCAL_DOMAINS]
    return x509.NameConstraints(permitted_subtrees=[*addresses, *domains], excluded_subtrees=None)


def alternative(names: Sequence[str]) -> list[x509.GeneralName]:
    """Names and addresses as a certificate lists them."""
    return [_general(name) for name in names]


def is_local(name: str) -> bool:
    """Whether an authority with our constraints may vouch for this name or address."""
    try:
        address = ip_address(name)
    except ValueError:
        folded = name.casefold()
        return any(folded == d or folded.endswith(f".{d}") for d in LOCAL_DOMAINS)
    return any(address in network for network in PRIVATE_NETWORKS)


def pem_of_key(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_certificate(file: Path) -> x509.Certificate:
    """The first certificate in the file. Raises one of `UNREADABLE`."""
    return x509.load_pem_x509_certificate(file.read_bytes())


def read_key(file: Path) -> EllipticCurvePrivateKey:
    """Raises one of `UNREADABLE`."""
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError(f"{file} holds another kind of key")
    return key


def write_private(file: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by anybody else."""
    # mkstemp makes files that only their owner can read.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    Path(name).replace(file)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
