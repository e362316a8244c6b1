"""Debian's nginx with the configuration that ships, before a real appliance process."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.live import ROOT, Appliance, appliance, free_port
from tests.observability.watching import wait_for
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine

CONFIG = ROOT / "deploy" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@dataclass(frozen=True)
class Proxied:
    url: str
    plain_url: str
    engine: ScriptedEngine
    inside: Appliance
    certificate: Path

    def client(self, address: str = "127.0.0.1") -> httpx2.AsyncClient:
        """A client of another machine, as far as addresses go, that knows the certificate."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        transport = httpx2.AsyncHTTPTransport(verify=context, local_address=address)
        return httpx2.AsyncClient(transport=transport, base_url=self.url, timeout=60)


@contextmanager
def proxied(folder: Path) -> Iterator[Proxied]:
    """One engine with 32 places, an appliance that trusts nginx, and nginx."""
    certificate = make_certificate(folder)
    with scripted_engine() as engine:
        flags = ["--engine", "remote", "--engine-url", engine.url, "--engine-key", KEY]
        flags += ["--trusted-proxies", "127.0.0.1", "--max-concurrency", "32"]
        with appliance(folder / "data", *flags) as inside:
            inside.wait_ready()
            with nginx(folder, inside.url) as (port, plain):
                yield Proxied(
                    f"https://localhost:{port}",
                    f"http://127.0.0.1:{plain}",
                    engine,
                    inside,
                    certificate,
                )


def make_certificate(folder: Path) -> Path:
    command = [str(shutil.which("openssl")), "req", "-x509", "-newkey", "ec", "-nodes", "-days=2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "tls.crt"


@contextmanager
def nginx(folder: Path, *inside: str) -> Iterator[tuple[int, int]]:
    """As it ships, before the appliances with these addresses: its ports for HTTPS and HTTP. The
    certificate lies in the folder."""
    port, plain = free_port(), free_port()
    text = CONFIG.read_text("utf-8")
    for shipped, here in (
        ("listen 8443", f"listen 127.0.0.1:{port}"),
        ("listen 8080", f"listen 127.0.0.1:{plain}"),
        ("server appliance:8000;", "".join(f"server {one[7:]};" for one in inside)),
        ("/etc/nginx/tls", str(folder)),
        ("/tmp/nginx", f"{folder}/nginx"),
        ("/dev/stdout", f"{folder}/access.log"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    config = folder / "nginx.conf"
    config.write_text(text, encoding="utf-8")
    command = [str(NGINX), "-c", str(config), "-g", "daemon off;", "-e", "stderr"]
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(plain, process, folder / "nginx.log"))
        yield port, plain
    finally:
        process.terminate()
        process.wait(20)


def _answers(plain: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text("utf-8")
    try:
        return httpx2.get(f"http://127.0.0.1:{plain}/").status_code == 308
    except httpx2.HTTPError:
        return False
