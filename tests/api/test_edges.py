"""What holds for every route: ids, ledger rows, health, documentation, foreign pages."""

from __future__ import annotations

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance


def test_health_and_ready_are_open_and_leave_no_row(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/ready").json() == {"status": "ready", "model": "scripted"}
    assert house.rows_so_far("/health") == house.rows_so_far("/ready") == []


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nowhere", "/v1/nowhere", "/"])
def test_every_response_carries_an_id_of_ours(client: httpx2.Client, path: str) -> None:
    answer = client.get(path, headers={"x-request-id": "theirs"})
    assert len(answer.headers["x-request-id"]) == 26


def test_unknown_paths_answer_in_the_dialect_of_their_place(client: httpx2.Client) -> None:
    assert client.get("/v1/nowhere").json()["error"]["type"] == "invalid_request_error"
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_person_at_an_unknown_address_gets_a_page(client: httpx2.Client) -> None:
    browser = {"accept": "text/html,*/*", "accept-language": "zh-CN"}
    answer = client.get("/nowhere", headers=browser)
    assert answer.status_code == 404
    assert 'lang="zh' in answer.text
    assert "content-security-policy" in answer.headers


def test_a_refused_request_has_a_row_too(client: httpx2.Client, house: ScriptedAppliance) -> None:
    before = house.mark()
    client.post("/v1/completions", json={"prompt": "say x", "temperature": 9})
    client.post("/v1/completions", json={"prompt": "say x"}, headers={"api-key": "no"})
    bad, unknown = (row for row, _ in house.rows("/v1/completions", after=before, count=2))
    assert (bad.status, unknown.status) == (400, 401)
    assert "temperature" in str(bad.error)
    assert (unknown.key_name, unknown.method) == (None, "POST")
    assert bad.duration_ms is not None
    assert str(bad.user_agent).startswith("python-httpx")


@pytest.mark.parametrize("path", ["/generate", "/v1/chat/completions"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_a_web_page_of_another_site_cannot_use_the_owners_machine(
    client: httpx2.Client, house: ScriptedAppliance, path: str, content_type: str
) -> None:
    before = len(house.engine.bodies)
    answer = client.post(
        path,
        content=b'{"prompt": "say x", "messages": [{"role": "user", "content": "say x"}]}',
        headers={"origin": "https://evil.example", "content-type": content_type},
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert len(house.engine.bodies) == before


def test_a_rebound_name_is_not_this_machine(client: httpx2.Client) -> None:
    answer = client.get("/v1/models", headers={"host": "evil.example"})
    assert answer.status_code == 401


def test_a_forged_forwarding_header_makes_nobody_the_owner(
    client: httpx2.Client, house: ScriptedAppliance
) -> None:
    before = house.mark()
    answer = client.get("/v1/models", headers={"x-forwarded-for": "127.0.0.1"})
    assert answer.status_code == 401
    row, _ = house.rows("/v1/models", after=before)[0]
    assert row.client_ip == "127.0.0.1"


def test_the_schema_describes_every_route_with_examples(client: httpx2.Client) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/generate", "/v1/chat/completions", "/v1/completions", "/v1/models"} <= set(
        schema["paths"]
    )
    schemas = schema["components"]["schemas"]
    for name in ("GenerateRequest", "ChatCompletionRequest", "CompletionRequest"):
        assert schemas[name]["examples"], name
