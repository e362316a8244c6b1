"""What is too long, broken or nonsense is refused with a sentence, before it costs anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from appliance.gateway.bodies import MOST_BYTES, STRANGERS_BYTES
from tests.scripted_app import ScriptedAppliance, scripted_appliance

LINE = b" " * 1_000_000
TOO_LONG = MOST_BYTES // len(LINE) + 1
JSON = {"content-type": "application/json"}
STRANGER = {"x-forwarded-for": "10.0.0.9"}
PEOPLE = {"accept": "text/html"}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
FORM = "multipart/form-data; boundary=a"

FILE = b'--a\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


def in_pieces(before: bytes = b"") -> Iterator[bytes]:
    yield before
    for _ in range(TOO_LONG):
        yield LINE


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_long_is_refused_in_each_dialect(
    client: httpx2.Client, announced: bool
) -> None:
    for path in ("/generate", "/v1/chat/completions"):
        body = LINE * TOO_LONG if announced else in_pieces()
        answer = client.post(path, content=body, headers=JSON)
        assert answer.status_code == 413
        assert "At most 32 MB" in answer.text
    assert answer.json()["error"]["code"] == "too_long"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("path", "status"), [("/generate", 403), ("/v1/chat/completions", 401)])
def test_a_stranger_is_asked_for_a_key_before_much_is_read_of_them(
    house: ScriptedAppliance, client: httpx2.Client, path: str, status: int, announced: bool
) -> None:
    """Never parsed: that it is no JSON is told only to somebody who is known."""
    broken = b"[" * (STRANGERS_BYTES + 1)
    mark = house.mark()
    content = broken if announced else iter([broken[:-1], b"["])
    refused = client.post(path, content=content, headers=JSON | STRANGER)
    assert (refused.status_code, "API key is needed" in refused.text) == (status, True)
    ((row, _),) = house.rows(path, after=mark)
    assert (row.status, row.key_name, "key is needed" in (row.error or "")) == (status, None, True)
    key = {"x-api-key": house.key(f"big {status} {announced}")}
    known = client.post(path, content=broken, headers=JSON | STRANGER | key)
    assert known.status_code == 400


def test_wrong_keys_are_counted_whatever_comes_with_them(tmp_path: Path) -> None:
    wrong = JSON | {"x-api-key": "sk-appl-not-known-here"}
    body = b"[" * (STRANGERS_BYTES + 1)
    with scripted_appliance(tmp_path) as house, httpx2.Client(base_url=house.url) as client:
        asked = [client.post("/v1/completions", content=body, headers=wrong) for _ in range(11)]
    assert [answer.status_code for answer in asked] == [401] * 10 + [429]


def test_a_long_form_of_a_stranger_leads_to_the_way_in(client: httpx2.Client) -> None:
    long: dict[str, Any] = {
        "content": b"key=" + b"a" * STRANGERS_BYTES,
        "headers": PEOPLE | STRANGER | URLENCODED,
    }
    for path in ("/login", "/join", "/chats/import"):
        answer = client.post(path, **long)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/")


def test_a_form_that_is_too_long_is_told_on_a_page(client: httpx2.Client) -> None:
    whole = client.post("/login", content=LINE * TOO_LONG, headers=PEOPLE | {"content-type": FORM})
    assert (whole.status_code, whole.headers["content-type"][:9]) == (413, "text/html")
    assert "At most 32 MB can be sent at once." in whole.text
    htmx = {"hx-request": "true", "content-type": FORM}
    part = client.post("/chats/import", content=in_pieces(FILE), headers=htmx)
    assert part.status_code == 413
    assert part.headers["hx-retarget"] == "#notices"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        (FORM, b"--a\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--a--"),
        ("application/x-www-form-urlencoded", b"a=b&" * 5000),
    ],
)
@pytest.mark.parametrize("path", ["/login", "/theme", "/keys", "/attachments"])
def test_a_form_that_cannot_be_read_is_the_senders_fault(
    client: httpx2.Client, path: str, kind: str, body: bytes
) -> None:
    answer = client.post(path, content=body, headers={"content-type": kind} | PEOPLE)
    assert answer.status_code in (400, 403, 422)
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("header", "value"), [("host", "[::1"), ("origin", "http://[::1"), ("referer", "http://[")]
)
def test_addresses_that_are_none_are_no_fault_of_ours(
    house: ScriptedAppliance, header: str, value: str
) -> None:
    with httpx2.Client(base_url=house.url, headers={header: value}) as odd:
        for answer in (
            odd.get("/history"),
            odd.post("/theme", data={"theme": "dark"}),
            odd.post("/generate", json={"prompt": "text"}),
        ):
            assert answer.status_code < 500


LOCAL, OTHER = "127.0.0.1", "evil.example"


@pytest.mark.parametrize("hosts", [(LOCAL, OTHER), (OTHER, LOCAL), (LOCAL, LOCAL)])
@pytest.mark.parametrize("path", ["/health", "/history", "/v1/models", "/admin/keys"])
def test_a_request_for_several_hosts_is_refused(
    house: ScriptedAppliance, path: str, hosts: tuple[str, str]
) -> None:
    """The owner's requests are known by their host, so there must be no doubt which it is."""
    url = httpx2.URL(house.url)
    head = f"GET {path} HTTP/1.1\r\n" + "".join(f"Host: {host}\r\n" for host in hosts)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as raw:
        raw.sendall(head.encode() + b"Connection: close\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"names one host" in answer
    assert b"x-content-type-options: nosniff" in answer
    assert (b'"error":{' in answer) is path.startswith("/v1")


@pytest.mark.parametrize("moment", ["-1", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_any_moment_may_be_asked_for(client: httpx2.Client, moment: str) -> None:
    for side in ("since", "until"):
        assert client.get("/admin/requests", params={side: moment}).status_code == 200


def test_what_is_nested_without_end_is_refused(client: httpx2.Client) -> None:
    deep = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for path in ("/generate", "/v1/chat/completions"):
        assert client.post(path, content=deep, headers=JSON).status_code == 400
