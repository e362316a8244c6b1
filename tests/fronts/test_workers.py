"""Three fronts before one engine, as their owner starts them: under load, cut off, and drained."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.fronts.house import House, house
from tests.observability.watching import wait_for

FRONTS, PLACES = 3, 4
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The last test of this file stops it."""
    flags = ["--max-concurrency", str(PLACES), "--drain-seconds", "60", "--no-chat-titles"]
    flags += ["--trusted-proxies", "127.0.0.9"]
    with house(tmp_path_factory.mktemp("fronts"), FRONTS, *flags) as running:
        yield running


def wish(text: str, **more: object) -> dict[str, object]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


def connecting(house: House, address: str) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(local_address=address)
    return httpx2.AsyncClient(transport=transport, base_url=house.url, timeout=60)


@pytest.mark.anyio
async def test_a_crowd_is_answered_by_all_of_them(three: House) -> None:
    """72 streams at once, of four keys from four addresses: an answer and one row for each."""
    keys = {f"127.0.0.{n}": (f"crowd-{n}", three.key(f"crowd-{n}")) for n in range(2, 6)}
    three.engine.release.set()
    before = three.metric("appliance_generations_total")

    async def ask(client: httpx2.AsyncClient, address: str, number: int) -> tuple[str, str]:
        name, headers = keys[address]
        body = wish(f"wait {number}", stream=True)
        async with client.stream("POST", CHAT, json=body, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert "data: [DONE]" in [line async for line in answer.aiter_lines()]
            return answer.headers["x-request-id"], name

    async with AsyncExitStack() as stack:
        asking = []
        for front in (three.first, *three.further()):
            clients = [
                (await stack.enter_async_context(connecting(three, address)), address, number)
                for number, address in enumerate([*keys] * 6)
            ]
            with three.awake(front):
                await asyncio.gather(*(client.get("/health") for client, *_ in clients))
            asking += [ask(*one) for one in clients]
        asked = await asyncio.gather(*asking)
    names, addresses = dict(asked), {name: address for address, (name, _) in keys.items()}
    assert len(names) == 72
    sql = """select r.id, r.key_name, r.client_ip, r.status, g.finish_reason
             from request r join generation g on g.request_id = r.id where r.path = ?
             and r.key_name like 'crowd-%' and g.finish_reason is not null"""
    wait_for(lambda: len(three.rows(sql, CHAT)) == 72)
    assert sorted(three.rows(sql, CHAT)) == sorted(
        (request_id, name, addresses[name], 200, "stop") for request_id, name in names.items()
    )
    assert {front for one, front in three.served_by().items() if one in names} == {1, 2, 3}
    wait_for(lambda: three.metric("appliance_generations_total") == before + 72)
    assert three.metric("appliance_ledger_lost_total") == 0
    assert three.engine.most_running <= PLACES


def test_a_limit_holds_across_fronts(three: House) -> None:
    key = three.key("limited", rate="4/minute")
    with ExitStack() as stack:
        clients = [stack.enter_context(three.at(one)) for one in (three.first, *three.further())]
        answers = [clients[n % FRONTS].post(CHAT, json=wish("hi"), headers=key) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert left == [3, 2, 1, 0, 0, 0]


def test_wrong_keys_are_counted_across_fronts(three: House) -> None:
    """Ten a minute from one address, whoever they are shown to."""
    wrong = {"authorization": "Bearer sk-appl-wrong"}
    with ExitStack() as stack:
        fronts = (three.first, *three.further())
        clients = [stack.enter_context(three.at(one, "127.0.0.8")) for one in fronts]
        said = [clients[n % FRONTS].get("/v1/models", headers=wrong) for n in range(12)]
    assert [answer.status_code for answer in said] == [401] * 10 + [429] * 2


def test_pages_work_by_whichever_front_they_come(three: House) -> None:
    """Signed in, asked and followed through a relay: the answer's pieces come as they are said."""
    key = three.key("anna")["authorization"].partition(" ")[2]
    three.engine.release.clear()
    further = three.further()[0]
    with three.at(further, "127.0.0.7") as anna:
        signed_in = anna.post("/login", data={"key": key, "next": "/history"})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/history")
        assert anna.get("/keys", follow_redirects=False).status_code == 403
        asked = anna.post("/chat", data={"prompt": "wait for it"})
        assert asked.status_code == 303
        path = asked.headers["location"]
        page = anna.get(path).text
        (answer,) = re.findall(r'<article class="message answer" id="(\w+)"', page)
        with anna.stream("GET", f"{path}/messages/{answer}/stream") as events:
            lines = events.iter_lines()
            assert any("wait" in line for line in lines)  # while the engine has not ended
            assert three.engine.running == 1
            three.engine.release.set()
            assert any(line == "event: done" for line in lines)
        for response in (signed_in, asked, events):
            found = three.row(response.headers["x-request-id"], "client_ip, key_name")
            assert found == ("127.0.0.7", "anna" if response is not signed_in else None)
        # With her cookie the API is asked where her session is known, and it is one row too.
        models = anna.get("/v1/models")
        assert three.row(models.headers["x-request-id"], "status, key_name") == (200, "anna")
    paths = three.rows("select path from request where client_ip = ? order by id", "127.0.0.7")
    stream = f"{path}/messages/{answer}/stream"
    wanted = ["/login", "/keys", "/chat", path, stream, "/v1/models"]
    assert [one for (one,) in paths] == wanted


def test_nobody_becomes_the_owner_on_the_way(three: House) -> None:
    """The first front sees what the other has seen: address, names, proxies, other sites."""
    for front in (three.first, *three.further()):
        with three.at(front) as client:
            for path in ("/v1/models", "/admin/requests"):
                assert client.get(path).status_code == 200
                assert client.get(path, headers={"host": "evil.example"}).status_code == 401
                assert client.get(path, headers={"x-forwarded-for": "127.0.0.1"}).status_code == 401
                forged = {"x-appliance-relay": "x http 1 127.0.0.1", "x-real-ip": "127.0.0.1"}
                assert client.get(path, headers=forged).status_code == 401
            foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
            for path in ("/admin/keys", "/generate"):
                assert client.post(path, json={"name": "x"}, headers=foreign).status_code in (
                    403,
                    422,
                )
        with three.at(front, "127.0.0.9") as proxy:
            said = {"x-forwarded-for": "203.0.113.7"}
            for path in ("/v1/models", "/admin/requests"):
                answer = proxy.get(path, headers=said)
                assert answer.status_code == 401
                found = three.row(answer.headers["x-request-id"], "client_ip, path")
                assert found == ("203.0.113.7", path)


def test_a_client_that_leaves_a_further_front_frees_the_engine(three: House) -> None:
    three.engine.release.clear()
    three.engine.left.clear()
    with three.at(three.further()[0]) as client:
        with client.stream("POST", CHAT, json=wish("wait", stream=True)) as answer:
            next(answer.iter_lines())
        wait_for(three.engine.left.is_set)
    request_id = answer.headers["x-request-id"]
    assert three.row(request_id, "error") == ("the client left",)


def test_the_status_page_says_how_many_serve(three: House) -> None:
    page = httpx2.get(three.url + "/status", timeout=30).text
    assert re.search(r"<dt>Web processes</dt><dd>3</dd>", page)


def test_a_front_that_is_killed_ends_its_own_answers_alone_and_comes_back(three: House) -> None:
    victim, other = three.further()
    three.engine.release.clear()
    with ExitStack() as stack:
        streams = []
        for front in (victim, other, three.first):
            client = stack.enter_context(three.at(front))
            asking = client.stream("POST", CHAT, json=wish("wait", stream=True))
            streams.append(stack.enter_context(asking))
        pieces = [answer.iter_lines() for answer in streams]
        assert all(next(lines).startswith("data: ") for lines in pieces)
        three.engine.left.clear()
        victim.kill()
        with pytest.raises(httpx2.HTTPError):
            list(pieces[0])
        wait_for(three.engine.left.is_set)
        three.engine.release.set()
        for lines in pieces[1:]:
            assert "data: [DONE]" in list(lines)
    cut_off = streams[0].headers["x-request-id"]
    assert three.row(cut_off, "status, error") == (500, "interrupted")
    sql = "select finish_reason from generation where request_id = ?"
    assert three.rows(sql, cut_off) == [("interrupted",)]
    three.wait_until_all_serve()
    assert victim.pid not in {front.pid for front in three.further()}
    assert any(
        "Front 2 ended" in line["message"] or "Front 3 ended" in line["message"]
        for line in three.log()
    )


def test_what_all_fronts_are_asked_at_once_is_computed_once(three: House) -> None:
    """The owner, who has no key, is one person at all of them."""
    question = wish("say the same thing", temperature=0)
    before = len(three.engine.bodies)
    with ExitStack() as stack:
        clients = [stack.enter_context(three.at(one)) for one in (three.first, *three.further())]
        pool = stack.enter_context(ThreadPoolExecutor(len(clients)))
        answers = list(pool.map(lambda client: client.post(CHAT, json=question), clients))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["choices"][0]["message"]["content"] for answer in answers}) == 1
    assert len(three.engine.bodies) == before + 1
    said = sorted(answer.headers["x-cache"].partition(";")[0] for answer in answers)
    assert said == ["hit", "hit", "miss"]
    asked = {answer.headers["x-request-id"] for answer in answers}
    wait_for(lambda: asked <= three.served_by().keys())
    assert {three.served_by()[one] for one in asked} == {1, 2, 3}


@pytest.mark.slow
def test_a_front_that_hangs_is_ended_and_replaced(three: House) -> None:
    """It is not dead, takes no more steps, and keeps the answers that it has."""
    victim, other = three.further()
    three.engine.release.clear()
    with ExitStack() as stack:
        streams = []
        for front in (victim, other):
            client = stack.enter_context(three.at(front))
            asking = client.stream("POST", CHAT, json=wish("wait", stream=True))
            streams.append(stack.enter_context(asking))
        stuck, begun = (answer.iter_lines() for answer in streams)
        assert next(stuck).startswith("data: ")
        assert next(begun).startswith("data: ")
        cut_off = streams[0].headers["x-request-id"]
        wait_for(lambda: three.rows("select id from request where id = ?", cut_off))
        victim.suspend()
        with pytest.raises(httpx2.HTTPError):
            list(stuck)
        three.engine.release.set()
        assert "data: [DONE]" in list(begun)
    assert three.row(cut_off, "status, error") == (500, "interrupted")
    three.wait_until_all_serve()
    assert victim.pid not in {front.pid for front in three.further()}
    assert any("has not moved for 15 s" in line["message"] for line in three.log())


def test_told_to_stop_all_of_them_finish_what_they_have_begun(three: House) -> None:
    further = three.further()
    three.engine.release.clear()
    with ExitStack() as stack:
        streams = []
        for front in (three.first, *further):
            client = stack.enter_context(three.at(front))
            asking = client.stream("POST", CHAT, json=wish("wait", stream=True))
            streams.append(stack.enter_context(asking).iter_lines())
        assert all(next(lines).startswith("data: ") for lines in streams)
        three.first.terminate()
        wait_for(three.running.refuses)
        assert all(front.is_running() for front in further)
        three.engine.release.set()
        for lines in streams:
            assert "data: [DONE]" in list(lines)
    assert three.running.process.wait(30) == 0
    assert not any(psutil.pid_exists(front.pid) for front in further)
    failures = [line for line in three.log() if line["level"] in ("error", "critical")]
    # One of them was made to hang before.
    assert {line["logger"] for line in failures} <= {"appliance.fronts.watchdog"}
    sql = "select count(*) from request where status is null"
    assert three.rows(sql) == [(0,)]


def test_no_front_outlives_the_first(tmp_path: Path) -> None:
    """Over HTTPS, which each of them speaks with the same certificate."""
    with house(tmp_path, 2, "--https") as two:
        key = two.key("anna")["authorization"].partition(" ")[2]
        (further,) = two.further()
        with two.at(further) as anna:
            signed_in = anna.post("/login", data={"key": key, "next": "/"})
            assert "Secure" in signed_in.headers["set-cookie"]
            assert anna.get("/v1/models").status_code == 200
        two.running.process.kill()
        wait_for(lambda: not further.is_running() or further.status() == psutil.STATUS_ZOMBIE)
