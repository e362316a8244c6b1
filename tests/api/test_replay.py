"""Recorded requests for programs: found by filters, rated, run again here and elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlmodel import Session, col, select

from appliance.ledger.database import Database
from appliance.ledger.tables import GenerationRecord
from appliance.web.snippets import body, snippets
from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.scripted_engine import KEY, MODEL


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    with scripted_appliance(tmp_path_factory.mktemp("replay")) as running:
        yield running


def ask(appliance: ScriptedAppliance, prompt: str, **more: object) -> str:
    """Asks, and tells the id of the request, whose row is closed."""
    body = {"messages": [{"role": "user", "content": prompt}], **more}
    before = appliance.mark()
    answer = httpx2.post(f"{appliance.url}/v1/chat/completions", json=body, timeout=60)
    appliance.rows("/v1/chat/completions", after=before)
    return answer.headers["x-request-id"]


def generations(appliance: ScriptedAppliance) -> list[GenerationRecord]:
    database = Database(appliance.settings.effective_database_url)
    with Session(database.engine) as session:
        found = session.exec(select(GenerationRecord).order_by(col(GenerationRecord.id))).all()
    database.close()
    return list(found)


def test_filters_and_feedback(appliance: ScriptedAppliance) -> None:
    name = ask(appliance, "say 账本 在哪里")
    rated = {"request_id": name, "rating": 1, "note": "right"}
    assert httpx2.post(f"{appliance.url}/v1/feedback", json=rated).json() == rated
    filters: tuple[dict[str, str], ...] = (
        {"q": "账本 在"},
        {"feedback": "up"},
        {"answers": "true", "key": "owner"},
    )
    for asked in filters:
        found = httpx2.get(f"{appliance.url}/admin/requests", params=asked, timeout=60).json()
        assert name in [row["id"] for row in found["requests"]], asked
    unknown = {"request_id": "nobody's", "rating": 1}
    assert httpx2.post(f"{appliance.url}/v1/feedback", json=unknown).status_code == 404
    too_much = {"request_id": name, "rating": 9}
    refused = httpx2.post(f"{appliance.url}/v1/feedback", json=too_much)
    assert refused.status_code == 400
    assert "rating" in refused.text


def test_run_again_here_and_elsewhere(appliance: ScriptedAppliance) -> None:
    name = ask(appliance, "say one two", temperature=0, top_p=0.5)
    address = f"{appliance.url}/admin/requests/{name}/replay"
    there = {"url": appliance.engine.url, "key": KEY, "model": MODEL}
    for changes in ({"temperature": 0.9}, there):
        answer = httpx2.post(address, json=changes, timeout=60).json()
        assert answer["first"]["output"].split() == answer["again"]["output"].split()
    appliance.rows(f"/admin/requests/{name}/replay", count=2)
    rows = generations(appliance)
    first = next(row for row in rows if row.request_id == name)
    again, elsewhere = rows[-2:]
    assert again.replay_of == elsewhere.replay_of == first.id
    assert (again.dialect, again.cached_from) == ("replay", None)
    assert (again.parameters["temperature"], again.parameters["top_p"]) == (0.9, 0.5)
    assert elsewhere.engine == appliance.engine.url
    assert KEY not in json.dumps([row.model_dump(mode="json") for row in rows])
    for wrong in ({"temperature": 3}, {"colour": 1}):
        assert httpx2.post(address, json=wrong).status_code == 422, wrong


@pytest.mark.parametrize(
    ("path", "key", "said"),
    [
        ("/v1", "wrong", "The other server refuses the key that was given for it."),
        ("/v1", None, "The other server wants a key, and none was given for it."),
        ("/nowhere", KEY, "Check its address"),
    ],
)
def test_what_is_wrong_with_another_server_is_said_of_that_one(
    appliance: ScriptedAppliance, path: str, key: str | None, said: str
) -> None:
    replay, mark = f"/admin/requests/{ask(appliance, 'text')}/replay", appliance.mark()
    there = {"url": appliance.engine.url.removesuffix("/v1") + path, "key": key, "model": MODEL}
    answer = httpx2.post(appliance.url + replay, json=there, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (502, "engine_failed")
    assert said in answer.json()["detail"]
    assert "--engine" not in answer.text
    ((_, generation),) = appliance.rows(replay, after=mark)
    assert generation is not None
    assert generation.error == answer.json()["detail"]


@pytest.mark.parametrize(
    "url",
    ["ftp://nowhere", "http://", "http://x/v1\r\nA: b", "http://x\x00", "http://u:p@x/v1",
     "http://x/v1?key=a", "http://[::1", "//x/v1"],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused_and_nothing_of_it_kept(
    appliance: ScriptedAppliance, url: str
) -> None:
    address = f"{appliance.url}/admin/requests/{ask(appliance, 'text')}/replay"
    refused = httpx2.post(address, json={"url": url})
    assert (refused.status_code, refused.json()["param"]) == (400, "url")


def test_a_prompt_of_token_ids_is_run_again_as_such(appliance: ScriptedAppliance) -> None:
    before = appliance.mark()
    prompts = [[5, 6], [7]]
    wish = {"prompt": prompts, "echo": True, "max_tokens": 3}
    answer = httpx2.post(f"{appliance.url}/v1/completions", json=wish, timeout=60)
    appliance.rows("/v1/completions", after=before, count=2)
    name = answer.headers["x-request-id"]
    httpx2.post(f"{appliance.url}/admin/requests/{name}/replay", json={}, timeout=60)
    sent = appliance.engine.bodies[-1]
    assert sent["prompt"] in prompts
    assert sent["echo"] is True
    record = next(row for row in generations(appliance) if row.request_id == name)
    assert json.dumps(body(record)["prompt"]) == record.input


LOOK = {
    "type": "function",
    "function": {"name": "look", "description": "找", "parameters": {"type": "object"}},
}
WISHES: tuple[dict[str, object], ...] = (
    {"tools": [LOOK], "tool_choice": "required", "parallel_tool_calls": False},
    {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        }
    },
    {"structured_outputs": {"regex": "[a-z]+"}},
    {"structured_outputs": {"choice": ["是", "no"]}},
    {"n": 3},
)


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: "+".join(wish))
def test_tools_forms_and_choices_are_asked_for_again(
    appliance: ScriptedAppliance, wish: dict[str, object]
) -> None:
    name = ask(appliance, 'call look {"n": 1}', temperature=0, **wish)
    first = appliance.engine.bodies[-1]
    assert first.items() >= wish.items()
    address = f"{appliance.url}/admin/requests/{name}/replay"
    answer = httpx2.post(address, json={}, timeout=60).json()
    assert appliance.engine.bodies[-1] == first
    told = [(call["name"], call["arguments"]) for call in answer["again"]["tool_calls"]]
    assert told == [("look", '{"n": 1}')]
    assert answer["first"]["tool_calls"] == answer["again"]["tool_calls"]
    record = next(row for row in generations(appliance) if row.request_id == name)
    _, python, _ = snippets(record, appliance.url)
    environment = os.environ | {"APPLIANCE_KEY": "", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", python.text]
    subprocess.run(command, capture_output=True, check=True, env=environment)
    assert appliance.engine.bodies[-1].items() >= wish.items()


def test_a_copied_program_asks_the_same(appliance: ScriptedAppliance) -> None:
    name = ask(appliance, 'say it\'s "quoted" 你好', temperature=0.5)
    record = next(row for row in generations(appliance) if row.request_id == name)
    curl, python, javascript = snippets(record, appliance.url)
    commands = ((sys.executable, "-c", python.text), ("sh", "-c", curl.text))
    for command in commands:
        told = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", check=True,
            env=os.environ | {"APPLIANCE_KEY": "", "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        assert "你好" in json.loads(told.stdout)["choices"][0]["message"]["content"]
    sent = appliance.engine.bodies[-1]
    assert sent["messages"][-1]["content"] == 'say it\'s "quoted" 你好'
    assert sent["temperature"] == 0.5
    body = javascript.text.partition("const body = ")[2].partition(";\nconst answer")[0]
    assert json.loads(body)["temperature"] == 0.5


def test_the_command_compares_a_set(appliance: ScriptedAppliance) -> None:
    for words in ("say the same words", "say others"):
        ask(appliance, words)
    ask(appliance, "call look {}", tools=[LOOK])
    note = Path(appliance.settings.data_dir) / "appliance.running"
    note.write_text(json.dumps({"pid": 1, "url": appliance.url, "join_url": None}))
    command = [sys.executable, "-m", "appliance.cli", "replay", "--limit", "3", "--json"]
    command += ["--data-dir", str(appliance.settings.data_dir)]

    def run(*more: str) -> tuple[int, list[dict[str, object]]]:
        told = subprocess.run(
            [*command, *more], capture_output=True, text=True, encoding="utf-8", check=False
        )
        return told.returncode, json.loads(told.stdout)

    status, outcomes = run()
    assert status == 0, outcomes
    assert [outcome["same"] for outcome in outcomes] == [True, True, True]
    assert outcomes[-1]["again"] == "look({})"
    status, outcomes = run("--against", f"{appliance.url}/nowhere")
    assert status == 1
    assert all(outcome["error"] for outcome in outcomes)
