"""Certificates as a client sees them: real handshakes over a socket pair, and what OpenSSL says."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import SetupError
from appliance.lan.authority import Authority, fingerprint
from appliance.lan.tls import GivenCertificate, OwnAuthority, context_for, keep_fresh, reload
from tests.waiting import until

NAMES = ["127.0.0.1", "192.168.1.10", "appliance.local"]
NOW = datetime.now(UTC)


def shake(server: ssl.SSLContext, trusted: Path, name: str) -> dict[str, object]:
    """The certificate that a client which trusts `trusted` accepts for `name`, in memory."""
    client = ssl.create_default_context(cafile=trusted)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(ours.getpeercert() or {})


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize("name", [*NAMES, "localhost", "::1"])
def test_who_trusts_the_authority_accepts_every_name_in_use(tmp_path: Path, name: str) -> None:
    source = OwnAuthority(tmp_path / "tls", lambda: NAMES)
    context = context_for(source)
    assert shake(context, tmp_path / "tls" / "authority.pem", name)


def test_other_names_and_strangers_are_refused(tmp_path: Path) -> None:
    context = context_for(OwnAuthority(tmp_path / "a", lambda: NAMES))
    context_for(OwnAuthority(tmp_path / "b", lambda: NAMES))
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake(context, tmp_path / "a" / "authority.pem", "192.168.1.11")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, tmp_path / "b" / "authority.pem", "192.168.1.10")


def test_a_stolen_authority_cannot_pretend_to_be_a_bank(tmp_path: Path) -> None:
    """Its own code leaves such names out; a thief's does not, and clients refuse all the same."""
    from appliance.lan import authority_parts

    tricked = Authority(tmp_path)
    tricked.renew(["bank.example"], NOW)
    shown = GivenCertificate(tricked.certificate, tricked.key)
    # Python 3.13 refuses a certificate without any name before it looks for this one.
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|Empty Subject Alternative"):
        shake(context_for(shown), tricked.root, "bank.example")
    with pytest.MonkeyPatch.context() as thief:
        thief.setattr(authority_parts, "is_local", lambda name: True)
        tricked.renew(["bank.example"], NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shake(context_for(shown), tricked.root, "bank.example")


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    Authority(tmp_path / "tls").renew(NAMES, NOW)
    assert mode(tmp_path / "tls") == 0o700
    files = sorted((tmp_path / "tls").iterdir())
    assert [file.name for file in files] == [
        "authority.key", "authority.pem", "server.key", "server.pem",
    ]  # fmt: skip
    assert {mode(file) for file in files} == {0o600}


def test_it_is_renewed_when_it_must_be_and_only_then(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert authority.renew(NAMES, NOW)
    root = authority.root.read_bytes()
    assert not authority.renew(list(reversed(NAMES)), NOW + timedelta(days=59))
    assert authority.renew(NAMES, NOW + timedelta(days=61))
    assert authority.renew([*NAMES, "10.0.0.4"], NOW + timedelta(days=61))
    authority.key.write_text("damaged")
    assert authority.renew([*NAMES, "10.0.0.4"], NOW + timedelta(days=61))
    assert authority.root.read_bytes() == root
    assert authority.renew(NAMES, NOW + timedelta(days=3600))
    assert authority.root.read_bytes() != root
    assert fingerprint(root) != fingerprint(authority.root.read_bytes())


@pytest.mark.anyio
async def test_a_running_server_shows_the_new_certificate(tmp_path: Path) -> None:
    names = ["192.168.1.10"]
    source = OwnAuthority(tmp_path, lambda: names)
    context, root = context_for(source), tmp_path / "authority.pem"
    before = shake(context, root, "192.168.1.10")["serialNumber"]
    keeping = asyncio.create_task(keep_fresh(source, context, every=0.01))
    try:
        names[:] = ["192.168.1.77"]  # the router gave it another address
        await until(lambda: source_serial(context, root, "192.168.1.77") not in (None, before))
    finally:
        keeping.cancel()


def source_serial(context: ssl.SSLContext, root: Path, name: str) -> object:
    try:
        return shake(context, root, name)["serialNumber"]
    except ssl.SSLCertVerificationError:
        return None


@pytest.mark.anyio
async def test_an_own_certificate_is_loaded_anew_when_its_files_change(tmp_path: Path) -> None:
    theirs = Authority(tmp_path)
    theirs.renew(["192.168.1.10"], NOW)
    source = GivenCertificate(theirs.certificate, theirs.key)
    context = context_for(source)
    before = shake(context, theirs.root, "192.168.1.10")["serialNumber"]
    theirs.certificate.write_text("half written")
    await reload(source, context)
    assert shake(context, theirs.root, "192.168.1.10")["serialNumber"] == before
    theirs.renew(["192.168.1.10"], NOW)
    await reload(source, context)
    assert shake(context, theirs.root, "192.168.1.10")["serialNumber"] != before


@pytest.mark.parametrize("wrong", ["missing", "empty", "another key"])
def test_a_certificate_that_cannot_be_used_is_a_sentence(tmp_path: Path, wrong: str) -> None:
    authority = Authority(tmp_path)
    authority.renew(NAMES, NOW)
    key = authority.key
    if wrong == "missing":
        key = tmp_path / "nowhere.key"
    elif wrong == "empty":
        authority.certificate.write_text("")
    else:
        key = tmp_path / "authority.key"
    with pytest.raises(SetupError, match=r"cannot be used: .* Give both in PEM form"):
        context_for(GivenCertificate(authority.certificate, key))
