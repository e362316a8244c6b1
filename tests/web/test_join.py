"""Joining by a link: made by the owner, opened once by a team-mate, who then is signed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlmodel import update

from appliance.lan.authority import Authority
from appliance.ledger.tables_joining import Invitation
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
NEW_CHAT = 'aria-label="New chat"'


async def invited(owner: httpx2.AsyncClient, name: str = "anna", **fields: str) -> str:
    """The code of the link on the page that the owner gets."""
    page = await owner.post("/keys/invite", data={"name": name, "expires": "30"} | fields)
    assert page.status_code == 200
    assert 'src="data:image/svg+xml' in page.text
    found = re.search(r"/join\?code=([\w-]{22})<", page.text)
    assert found is not None
    return found[1]


def vouch(site: Site) -> None:
    """As with --https: there is an authority to be trusted."""
    authority = Authority(site.folder / "tls")
    authority.renew(["192.168.1.10"], datetime.now(UTC))
    object.__setattr__(site.parts.reach, "authority", authority.root.read_bytes)


async def test_two_clicks_from_the_link_to_a_signed_in_browser_and_a_working_key(
    site: Site, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    code = await invited(client, rate="60/minute")
    for _ in range(2):  # a preview opens it too, and takes nothing away
        look = await stranger.get("/join", params={"code": code})
        assert "“anna”" in look.text
        assert NEW_CHAT not in look.text
        assert "set-cookie" not in look.headers
    joined = await stranger.post("/join", data={"code": code})
    (secret,) = set(re.findall(r"sk-appl-[\w-]{43}", joined.text))
    assert f'-H "Authorization: Bearer {secret}"' in joined.text
    assert f'api_key="{secret}"' in joined.text
    assert 'base_url="http://192.168.1.10:8000/v1"' in joined.text
    assert (await stranger.get("/history")).status_code == 200
    assert NEW_CHAT in (await stranger.get("/")).text
    key = await site.keys.find(secret)
    assert key is not None
    assert (key.name, key.rate) == ("anna", "60/minute")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as program:
        assert (await program.get("/history")).status_code == 200


async def test_the_link_works_once(
    site: Site, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    code = await invited(client)
    await stranger.post("/join", data={"code": code})
    again = await stranger.post("/join", data={"code": code})
    assert again.status_code == 404
    assert "signed in already" in again.text
    async with visitor(site, "192.168.1.99") as late:
        refused = await late.post("/join", data={"code": code})
        assert "used already" in refused.text
        assert "set-cookie" not in refused.headers


async def test_neither_code_nor_secret_lies_in_the_database(
    site: Site, client: httpx2.AsyncClient
) -> None:
    code = await invited(client)
    with site.database.reading() as session:
        connection = session.connection().connection
        assert code not in "\n".join(str(row) for row in connection.iterdump())


async def test_an_expired_link_is_refused(
    site: Site, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    code = await invited(client)
    over = update(Invitation).values(expires_at=datetime.now(UTC) - HOUR)
    await site.writer.execute(lambda session: session.execute(over))
    assert (await stranger.post("/join", data={"code": code})).status_code == 404


async def test_a_revoked_key_cannot_be_joined(
    site: Site, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    code = await invited(client)
    await site.keys.revoke("anna")
    assert (await stranger.post("/join", data={"code": code})).status_code == 404


async def test_inviting_again_ends_the_first_link_until_somebody_has_joined(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    first = await invited(client)
    second = await invited(client)
    assert (await stranger.post("/join", data={"code": first})).status_code == 404
    assert (await stranger.post("/join", data={"code": second})).status_code == 200
    taken = await client.post("/keys/invite", data={"name": "anna", "expires": "30"})
    assert taken.status_code == 400
    assert "There is a key called “anna” already" in taken.text


async def test_guessing_codes_is_slowed_down(stranger: httpx2.AsyncClient) -> None:
    for _ in range(10):
        assert (await stranger.get("/join", params={"code": "guess"})).status_code == 404
    assert (await stranger.post("/join", data={"code": "guess"})).status_code == 429


async def test_only_admins_invite(site: Site) -> None:
    _, plain = await site.keys.create("ben")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": plain}) as ben:
        assert (await ben.post("/keys/invite", data={"name": "eve"})).status_code == 403


async def test_the_link_stands_on_the_address_of_the_network(
    site: Site, client: httpx2.AsyncClient
) -> None:
    alone = (await client.post("/keys/invite", data={"name": "anna"})).text
    assert "Only this machine can open this link." in alone
    object.__setattr__(site.parts.reach, "urls", lambda: ("http://192.168.1.10:8000",))
    page = (await client.post("/keys/invite", data={"name": "小本"})).text
    assert "http://192.168.1.10:8000/join?code=" in page
    assert "Only this machine" not in page


async def test_signing_out_everywhere_ends_each_browser_of_the_key(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    _, anna = await site.keys.create("anna")
    _, ben = await site.keys.create("ben")
    async with visitor(site, OTHER_MACHINE) as phone, visitor(site, OTHER_MACHINE) as other:
        await stranger.post("/login", data={"key": anna})
        await phone.post("/login", data={"key": anna})
        await other.post("/login", data={"key": ben})
        assert 'action="/logout/everywhere"' in (await stranger.get("/connect")).text
        await stranger.post("/logout/everywhere")
        assert (await stranger.get("/connect")).status_code == 303
        told = await phone.get("/connect", follow_redirects=True)
        assert "This browser was signed out." in told.text
        assert (await other.get("/connect")).status_code == 200
        await phone.post("/login", data={"key": anna})
        assert (await phone.get("/connect")).status_code == 200


async def test_the_owner_signs_everybody_out(
    site: Site, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    _, anna = await site.keys.create("anna")
    await stranger.post("/login", data={"key": anna})
    await client.post("/logout/everywhere")
    assert (await stranger.get("/connect")).status_code == 303


async def test_without_a_key_in_hand_the_lines_say_where_it_goes(
    client: httpx2.AsyncClient,
) -> None:
    page = (await client.get("/connect")).text
    assert "Bearer YOUR-KEY" in page
    assert "sk-appl-" not in page


async def test_how_to_trust_it_and_the_file(site: Site, stranger: httpx2.AsyncClient) -> None:
    assert "nothing to do" in (await stranger.get("/trust")).text
    assert (await stranger.get("/trust/appliance.crt")).status_code == 404
    vouch(site)
    phone = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)"}
    page = (await stranger.get("/trust", headers=phone)).text
    assert re.search(r'id="fingerprint">(?:[0-9A-F]{2}:){31}[0-9A-F]{2}<', page)
    assert 'open id="ios"' in page
    assert 'open id="windows"' not in page
    file = await stranger.get("/trust/appliance.crt")
    assert file.headers["content-type"] == "application/x-x509-ca-cert"
    assert file.text.startswith("-----BEGIN CERTIFICATE")
    assert "PRIVATE" not in file.text


async def test_chinese_is_complete(
    site: Site, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    vouch(site)
    for browser in (client, stranger):
        browser.cookies.set("language", "zh")
    code = await invited(client, "小安")
    pages = [
        await client.post("/keys/invite", data={"name": "小本"}),
        await stranger.get("/join", params={"code": code}),
        await stranger.post("/join", data={"code": code}),
        await stranger.get("/join", params={"code": code}),
        await stranger.get("/connect"),
        await client.get("/connect"),
        await client.get("/trust"),
    ]
    assert [english_words(page.text) for page in pages] == [[]] * len(pages)


@pytest.mark.parametrize(
    ("fields", "home", "other"),
    [({"history": "on"}, "/history", "/write"), ({"assistants": "tutor"}, "/assistants", "/")],
)
async def test_whoever_joined_is_shown_the_way_to_what_they_may_open(
    client: httpx2.AsyncClient,
    stranger: httpx2.AsyncClient,
    fields: dict[str, str],
    home: str,
    other: str,
) -> None:
    code = await invited(client, **fields)
    headers = {"authorization": "Bearer sk-appl-another"}  # is not asked for and does no harm
    joined = (await stranger.post("/join", data={"code": code}, headers=headers)).text
    assert f'<a class="button primary" href="{home}">' in joined
    assert f'href="{other}"' not in joined
    again = await stranger.get("/join", params={"code": code})
    assert f'<a class="button primary" href="{home}">' in again.text
