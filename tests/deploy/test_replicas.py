"""Two appliances before one PostgreSQL and one Redis, as the pods of a cluster are."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.servers import RedisServer, postgresql

CHAT = "/v1/chat/completions"
Pods = tuple[ScriptedAppliance, ScriptedAppliance]

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The settings that make appliances one."""
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    try:
        with postgresql() as url:
            yield {
                "database_url": f"{url}/postgres",
                "redis_url": redis.url,
                "require_key": True,
            }
    finally:
        redis.kill()


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


def test_what_one_has_answered_the_other_gives_again(pods: Pods, key: str) -> None:
    first = asked(pods[0], key, "say the same", temperature=0)
    computed = len(pods[0].engine.bodies)
    second = asked(pods[1], key, "say the same", temperature=0)
    assert first.json()["choices"] == second.json()["choices"]
    assert "hit" in second.headers["x-cache"]
    assert len(pods[0].engine.bodies) == computed


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
            ((request, generation),) = pod.rows_so_far(CHAT, after=after)
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
