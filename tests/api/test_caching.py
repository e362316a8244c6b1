"""Answers given again, as a client sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance, scripted_appliance

CHAT = {"messages": [{"role": "user", "content": "say one two"}], "temperature": 0}


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    folder: Path = tmp_path_factory.mktemp("cached")
    with scripted_appliance(folder) as running:
        yield running


def post(appliance: ScriptedAppliance, path: str, body: dict[str, Any], **headers: str) -> Any:
    answer = httpx2.post(appliance.url + path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "say one two", "seed": 7}),
        ("/generate", {"prompt": "say one two", "temperature": 0}),
    ],
)
def test_a_second_answer_tells_its_age_and_where_it_comes_from(
    appliance: ScriptedAppliance, path: str, body: dict[str, Any], stream: bool
) -> None:
    body = body | {"stream": stream, "max_tokens": 100 + stream}
    mark = appliance.mark()
    asked = len(appliance.engine.bodies)
    first, second = (post(appliance, path, body) for _ in range(2))
    assert len(appliance.engine.bodies) == asked + 1
    assert first.headers["x-cache"] == "miss"
    origin = first.headers["x-request-id"]
    assert second.headers["x-cache"] in {f"hit; age={n}; request={origin}" for n in range(10)}
    assert second.headers["x-request-id"] != origin
    assert "two" in second.text
    rows = appliance.rows(path, after=mark, count=2)
    assert [generation and generation.cached_from for _, generation in rows] == [None, origin]


@pytest.mark.parametrize("wish", ["no-store", "max-age=0, No-Store", "no-cache"])
def test_whoever_wants_a_fresh_answer_gets_one(appliance: ScriptedAppliance, wish: str) -> None:
    path, body = "/v1/chat/completions", CHAT | {"max_tokens": 50}
    post(appliance, path, body)
    asked = len(appliance.engine.bodies)
    answer = post(appliance, path, body, **{"cache-control": wish})
    assert answer.headers["x-cache"] == "miss"
    assert len(appliance.engine.bodies) == asked + 1


def test_what_is_not_deterministic_is_computed(appliance: ScriptedAppliance) -> None:
    body = CHAT | {"temperature": 0.7}
    for _ in range(2):
        assert post(appliance, "/v1/chat/completions", body).headers["x-cache"] == "miss"


def test_without_a_cache_nothing_is_given_again(tmp_path: Path) -> None:
    with scripted_appliance(tmp_path, cache_minutes=0) as appliance:
        for _ in range(2):
            answer = post(appliance, "/v1/chat/completions", CHAT)
            assert answer.headers["x-cache"] == "miss"
        assert len(appliance.engine.bodies) == 2


@pytest.mark.parametrize("shared", [False, True])
def test_answers_are_each_keys_own_unless_they_are_to_be_shared(
    tmp_path: Path, shared: bool
) -> None:
    with scripted_appliance(tmp_path, cache_shared=shared) as appliance:
        path, body = "/v1/chat/completions", CHAT
        keys = [appliance.key(name) for name in ("anna", "ben")]
        first, second = (post(appliance, path, body, authorization=f"Bearer {key}") for key in keys)
        origin = first.headers["x-request-id"]
        assert first.headers["x-cache"] == "miss"
        assert (f"request={origin}" in second.headers["x-cache"]) is shared
        assert len(appliance.engine.bodies) == 2 - shared
        # Whose answer it was stays theirs: the other may not look it up.
        looked = httpx2.get(
            f"{appliance.url}/history/{origin}", headers={"authorization": f"Bearer {keys[1]}"}
        )
        assert looked.status_code == 404
