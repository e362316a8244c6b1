"""Two appliances before one PostgreSQL and one Redis, as the pods of a cluster are."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.deploy.proxied import NGINX, make_certificate, nginx
from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.servers import RedisServer, postgresql

CHAT = "/v1/chat/completions"
Pods = tuple[ScriptedAppliance, ScriptedAppliance]

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def shared(redis: RedisServer) -> Iterator[dict[str, Any]]:
    """The settings that make appliances one."""
    with postgresql() as url:
        yield {"database_url": f"{url}/postgres", "redis_url": redis.url, "require_key": True}


@pytest.fixture(scope="module")
def pods(shared: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """Each with a folder of its own, which holds nothing that the other needs; one engine."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with scripted_appliance(first, **shared) as one:
        shared["engine_url"] = one.engine.url
        with scripted_appliance(second, **shared) as two:
            yield one, two


@pytest.fixture(scope="module")
def key(pods: Pods) -> str:
    return pods[0].key("anna", scopes=["chat"])


def asked(pod: ScriptedAppliance, key: str, text: str, **more: Any) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(pod.url + CHAT, json=body, headers=headers, timeout=60)


def signed_in(pod: ScriptedAppliance, key: str) -> dict[str, str]:
    """The cookie header of a browser."""
    answer = httpx2.post(pod.url + "/login", data={"key": key}, timeout=30)
    assert answer.status_code == 303, answer.text
    return {"cookie": f"appliance_session={answer.cookies['appliance_session']}"}


def test_a_browser_that_one_has_signed_in_is_known_to_the_other(pods: Pods, key: str) -> None:
    cookie = signed_in(pods[0], key)
    for pod in pods:
        assert httpx2.get(pod.url + "/history", headers=cookie).status_code == 200
        assert httpx2.get(pod.url + "/history").status_code != 200


def test_an_answer_that_one_writes_is_shown_by_the_other_when_it_is_over(
    pods: Pods, key: str
) -> None:
    writing, other = pods
    writing.engine.release.clear()
    writing.engine.started.clear()
    cookie = signed_in(writing, key)
    asked = httpx2.post(writing.url + "/chat", data={"prompt": "wait"}, headers=cookie, timeout=30)
    assert asked.status_code == 303, asked.text
    path = asked.headers["location"]
    assert writing.engine.started.wait(30)
    page = httpx2.get(other.url + path, headers=cookie).text
    (answer,) = re.findall(r'<article class="message answer" id="(\w+)"', page)
    url = f"{other.url}{path}/messages/{answer}/stream"
    try:
        still = httpx2.get(url + "?once", headers=cookie, timeout=30).text
        assert "/stream" in still, "it goes on, and is looked at again"
    finally:
        writing.engine.release.set()
    done = httpx2.get(url, headers=cookie, timeout=60).text
    assert done.count("event: done") == 1
    assert "message-actions" in done
    assert "/stream" not in done


@pytest.fixture
def growing(pods: Pods, key: str) -> Iterator[tuple[dict[str, str], str, str]]:
    """An answer that the first pod writes: the browser's cookie, its chat, its message."""
    writing = pods[0]
    writing.engine.release.clear()
    writing.engine.started.clear()
    writing.engine.left.clear()
    cookie = signed_in(writing, key)
    asked = httpx2.post(writing.url + "/chat", data={"prompt": "wait"}, headers=cookie, timeout=30)
    path = asked.headers["location"]
    assert writing.engine.started.wait(30)
    page = httpx2.get(writing.url + path, headers=cookie).text
    (answer,) = re.findall(r'<article class="message answer" id="(\w+)"', page)
    yield cookie, path.partition("#")[0], answer
    writing.engine.release.set()


def test_stop_at_the_other_pod_stops_the_answer(
    pods: Pods, growing: tuple[dict[str, str], str, str]
) -> None:
    writing, other = pods
    cookie, chat, answer = growing
    stopped = httpx2.post(f"{other.url}{chat}/stop", headers=cookie, timeout=30)
    assert stopped.status_code == 303, stopped.text
    assert writing.engine.left.wait(10), "the engine has been told"
    for pod in pods:
        page = httpx2.get(pod.url + chat, headers=cookie).text
        assert f"{chat}/messages/{answer}/stream" not in page, "it is over for both"


def test_nobody_stops_the_answers_of_others(
    pods: Pods, growing: tuple[dict[str, str], str, str]
) -> None:
    writing, other = pods
    _, chat, answer = growing
    stranger = signed_in(other, writing.key("stranger", scopes=["chat"]))
    refused = httpx2.post(f"{other.url}{chat}/stop", headers=stranger, timeout=30)
    assert refused.status_code == 404
    httpx2.post(f"{other.url}/write/{answer}/stop", headers=stranger, timeout=30)
    assert not writing.engine.left.wait(2)


@pytest.fixture(scope="module")
def door(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A browser without cookies before nginx, which stands before both."""
    folder = tmp_path_factory.mktemp("nginx")
    trusted = ssl.create_default_context(cafile=str(make_certificate(folder)))
    with (
        nginx(folder, *(pod.url for pod in pods)) as (port, _),
        httpx2.Client(base_url=f"https://localhost:{port}", verify=trusted, timeout=60) as client,
    ):
        yield client


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_a_temporary_chat_goes_on_through_the_door(
    pods: Pods, key: str, door: httpx2.Client
) -> None:
    """Each of several browsers stays with one pod; between them they are with both."""
    homes = set()
    for _ in range(8):
        door.cookies.clear()
        assert door.post("/login", data={"key": key}).status_code == 303
        door.get("/")
        made = door.post("/chat", data={"prompt": "say the secret", "temporary": "true"})
        assert made.status_code == 303, made.text
        path = made.headers["location"].partition("#")[0]
        for _ in range(4):
            assert door.get(path).status_code == 200
        asked = door.post(path, data={"prompt": "say it again"})
        assert asked.status_code in (303, 409), asked.text
        cookie = {"cookie": f"appliance_session={door.cookies['appliance_session']}"}
        has = [httpx2.get(pod.url + path, headers=cookie).status_code == 200 for pod in pods]
        assert sum(has) == 1, "it is in the memory of one, and in no ledger"
        homes.add(has.index(True))
    assert homes == {0, 1}


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_programs_are_spread_over_all(pods: Pods, key: str, door: httpx2.Client) -> None:
    headers = {"authorization": f"Bearer {key}"}
    door.cookies.clear()
    after = [pod.mark() for pod in pods]
    for _ in range(20):
        answer = door.get("/v1/models", headers=headers)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
    fronts = {row.front for row, _ in pods[0].rows("/v1/models", after=min(after), count=20)}
    assert len(fronts) == 2


def test_what_one_has_answered_the_other_gives_again(pods: Pods, key: str) -> None:
    first = asked(pods[0], key, "say the same", temperature=0)
    computed = len(pods[0].engine.bodies)
    second = asked(pods[1], key, "say the same", temperature=0)
    assert first.json()["choices"] == second.json()["choices"]
    assert "hit" in second.headers["x-cache"]
    assert len(pods[0].engine.bodies) == computed


def test_a_load_goes_on_without_redis_and_while_postgresql_restarts(
    pods: Pods, key: str, redis: RedisServer, shared: dict[str, Any]
) -> None:
    """Every answer comes and is right, and every one of them has its row, closed."""
    after, end = pods[0].mark(), time.monotonic() + 8

    def load(number: int) -> list[httpx2.Response]:
        answers = []
        while time.monotonic() < end:
            answers.append(asked(pods[number % 2], key, f"say {number}", temperature=number % 2))
        return answers

    with ThreadPoolExecutor(6) as pool:
        under_way = [pool.submit(load, number) for number in range(6)]
        time.sleep(2)
        redis.kill()
        end_all_sessions(shared["database_url"])
        time.sleep(2)
        redis.start()
        end_all_sessions(shared["database_url"])
        answers = [(n, one) for n, each in enumerate(under_way) for one in each.result()]
    assert len(answers) > 12
    for number, answer in answers:
        assert answer.status_code == 200, answer.text
        assert str(number) in answer.json()["choices"][0]["message"]["content"]
    rows = pods[0].rows(CHAT, after=after, count=len(answers))
    assert {request.id for request, _ in rows} >= {a.headers["x-request-id"] for _, a in answers}
    assert {(request.status, request.error) for request, _ in rows} == {(200, None)}


def end_all_sessions(url: str) -> None:
    """As a server does that restarts."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and usename = current_user"
        )


def test_a_key_that_one_revokes_opens_nothing_at_the_other(pods: Pods) -> None:
    chief = pods[0].key("chief", is_admin=True)
    headers = {"authorization": f"Bearer {chief}"}
    answer = httpx2.post(pods[0].url + "/admin/keys", json={"name": "guest"}, headers=headers)
    guest = max((v for v in answer.json().values() if isinstance(v, str)), key=len)
    assert asked(pods[1], guest, "say A").status_code == 200
    gone = httpx2.delete(f"{pods[0].url}/admin/keys/guest", headers=headers)
    assert gone.status_code < 300, gone.text
    assert asked(pods[1], guest, "say A").status_code == 401


def test_a_pod_that_starts_leaves_the_answers_of_others_alone(
    pods: Pods, key: str, shared: dict[str, Any], tmp_path: Path
) -> None:
    pod, after = pods[0], pods[0].mark()
    pod.engine.release.clear()
    answers: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: answers.append(asked(pod, key, "wait")))
    pod.engine.started.clear()
    thread.start()
    try:
        assert pod.engine.started.wait(30)
        with scripted_appliance(tmp_path, **shared):
            ((request, generation),) = pod.open_rows(CHAT, after=after)
            assert (request.status, request.error) == (None, None)
            assert generation is not None
            assert generation.finish_reason is None
    finally:
        pod.engine.release.set()
        thread.join(30)
    assert answers[0].status_code == 200
    ((request, _),) = pod.rows(CHAT, after=after)
    assert (request.status, request.error) == (200, None)
    assert request.front == (pod.settings.data_dir / "front.name").read_text("utf-8")
