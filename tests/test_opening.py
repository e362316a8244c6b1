"""Opening up, on the real command line; and a server behind a proxy, with and without TLS."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from appliance.entrance import tls_for
from appliance.folder import DataFolder
from appliance.lan.addresses import Address
from appliance.lan.network import Network
from appliance.lan.tls import client_context
from appliance.listening import bind
from appliance.opening import open_up
from appliance.server import Beside, ToHttps, alongside, config_for
from appliance.settings import Settings, load_settings

ALL = "0.0.0.0"  # noqa: S104 - not bound


def opened(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    def look() -> tuple[Address, ...]:
        return ()

    open_up(load_settings({"data_dir": folder}, {}), Network(ALL, 8000, look=look))
    return capsys.readouterr().out


def test_the_first_opening_makes_a_key_and_shows_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = opened(tmp_path, capsys)
    (secret,) = re.findall(r"sk-appl-[\w-]{43}", first)
    assert "1 key opens it: team." in first
    second = opened(tmp_path, capsys)
    assert "1 key opens it: team." in second
    assert "sk-appl-" not in second
    assert secret not in "".join(
        file.read_text("latin-1") for file in tmp_path.iterdir() if file.is_file()
    )


def test_an_address_that_our_certificate_cannot_be_for_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def look() -> tuple[Address, ...]:
        return tuple(Address(ip_address(one), "eth0") for one in ("130.149.7.1", "192.168.1.10"))

    network = Network(ALL, 8000, "https", look=look)
    for https, told in ((True, 1), (False, 0)):
        open_up(load_settings({"data_dir": tmp_path, "https": https}, {}), network)
        assert capsys.readouterr().out.count("The certificate cannot be for 130.149.7.1") == told


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["team", "TEAM", "\uff54eam"])
async def test_a_revoked_key_opens_nothing_so_another_is_made(tmp_path: Path, name: str) -> None:
    from appliance.ledger.database import Database
    from appliance.ledger.keys import KeyStore
    from appliance.ledger.writer import Writer
    from appliance.opening import keys_that_open

    settings = load_settings({"data_dir": tmp_path}, {})
    database = Database(settings.effective_database_url)
    database.migrate()
    writer = Writer(database)
    await KeyStore(database, writer).create(name)
    await KeyStore(database, writer).revoke(name)
    writer.close()
    database.close()
    again, (other,) = await keys_that_open(settings)
    assert again is not None
    assert other.name == "team-2"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"tls_cert": "a.pem"}, "give both or neither"),
        ({"redirect_port": 8080}, "give https or tls_cert too"),
        ({"https": True, "redirect_port": 8000}, "must differ"),
        ({"lan_name": "my appliance"}, "lan_name"),
        ({"hsts_days": -1}, "hsts_days"),
    ],
)
def test_settings_that_do_not_fit_together_are_a_sentence(
    tmp_path: Path, flags: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception, match=said):
        load_settings({"data_dir": tmp_path} | flags, {})


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """An app that says whom it sees."""
    request = Request(scope)
    seen = f"{request.client.host if request.client else ''} {request.url.scheme}"
    await PlainTextResponse(seen)(scope, receive, send)


def served(settings: Settings) -> Any:
    config: uvicorn.Config = config_for(tell, settings)
    config.load()
    return config.loaded_app


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("trusted", "peer", "seen"),
    [
        ("", "10.0.0.5", "10.0.0.5 http"),
        ("10.0.0.5", "10.0.0.5", "203.0.113.9 https"),
        ("10.0.0.0/24", "10.0.0.5", "203.0.113.9 https"),
        ("10.0.0.6", "10.0.0.5", "10.0.0.5 http"),
        ("", "127.0.0.1", "127.0.0.1 http"),
    ],
)
async def test_forwarding_headers_count_from_trusted_proxies_alone(
    tmp_path: Path, trusted: str, peer: str, seen: str
) -> None:
    app = served(load_settings({"data_dir": tmp_path, "trusted_proxies": trusted}, {}))
    transport = httpx2.ASGITransport(app, client=(peer, 40000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://appliance") as client:
        said = await client.get(
            "/", headers={"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
        )
    assert said.text == seen


@pytest.mark.anyio
async def test_a_command_on_this_machine_speaks_https_with_its_own_appliance(
    tmp_path: Path,
) -> None:
    settings = load_settings({"data_dir": tmp_path, "https": True}, {})
    folder, network = DataFolder(tmp_path), Network("127.0.0.1", 8000, "https")
    tls = tls_for(settings, folder, network)
    assert tls is not None
    listener = bind("127.0.0.1", 0)
    server = Beside(config_for(tell, settings, tls.context))
    port = listener.getsockname()[1]
    async with alongside(server, listener):
        trusted = client_context(folder.authority())
        async with httpx2.AsyncClient(verify=trusted, trust_env=False) as client:
            assert (await client.get(f"https://127.0.0.1:{port}/")).text == "127.0.0.1 https"
        async with httpx2.AsyncClient(trust_env=False) as stranger:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(f"https://127.0.0.1:{port}/")


@pytest.mark.anyio
async def test_plain_http_leads_to_https_but_for_how_to_trust_it() -> None:
    transport = httpx2.ASGITransport(ToHttps(tell, 8443))
    async with httpx2.AsyncClient(transport=transport, base_url="http://appliance.local") as client:
        moved = await client.post("/v1/chat/completions?a=b")
        assert moved.status_code == 307
        assert moved.headers["location"] == "https://appliance.local:8443/v1/chat/completions?a=b"
        assert (await client.get("/trust")).status_code == 200
        assert (await client.get("/trust/appliance.crt")).status_code == 200
