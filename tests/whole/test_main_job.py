"""The main job on the real engine: answers by curl's way and by the SDK, each in the ledger."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx2
import openai

from tests.live import Appliance


def ledger(live: Appliance, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(live.data_dir / "appliance.db")) as connection:
        return connection.execute(sql, values).fetchall()


def wait_for_the_row(live: Appliance, request_id: str) -> None:
    """It is closed once the answer is sent, so a moment after the client has it."""
    deadline = time.monotonic() + 20
    while not ledger(live, "select 1 from request where id = ? and status is not null", request_id):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def generate(url: str, prompt: str, **more: Any) -> httpx2.Response:
    return httpx2.post(url + "/generate", json={"prompt": prompt, **more}, timeout=60)


def test_curl_and_the_sdk_get_answers_at_the_same_time(live: Appliance) -> None:
    sdk = openai.OpenAI(base_url=live.url + "/v1", api_key="none", max_retries=0)

    def by_sdk() -> str:
        answer = sdk.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            max_tokens=30,
            temperature=0,
        )
        return answer.choices[0].message.content or ""

    with ThreadPoolExecutor() as pool:
        first = pool.submit(by_sdk)
        second = pool.submit(generate, live.url, "Name the capital of France.", max_tokens=30)
        assert "Paris" in first.result()
        assert second.result().json()["completion_tokens"] > 0


def test_every_request_is_in_the_ledger_with_input_output_latency_and_ip(live: Appliance) -> None:
    answer = generate(live.url, "Say hello to the ledger.", max_tokens=12, temperature=0).json()
    wait_for_the_row(live, answer["id"])
    (row,) = ledger(
        live,
        """select r.client_ip, r.key_name, r.status, g.input, g.output, g.duration_ms, g.engine,
                  g.prompt_tokens, g.completion_tokens, g.finish_reason, g.ttft_ms
           from generation g join request r on r.id = g.request_id where r.id = ?""",
        answer["id"],
    )
    assert row[:3] == ("127.0.0.1", "owner", 200)
    assert "Say hello to the ledger." in row[3]
    assert row[4] == answer["generated_text"]
    assert row[5] > row[10] > 0
    assert row[6] == "openvino"
    assert (row[7], row[8]) == (answer["prompt_tokens"], answer["completion_tokens"])
    assert row[9] in ("stop", "length")


def test_a_stream_is_the_same_text_in_many_pieces(live: Appliance) -> None:
    body: dict[str, Any] = {"prompt": "Count from one to ten.", "max_tokens": 40, "temperature": 0}
    whole = generate(live.url, **body).json()["generated_text"]
    url, body = live.url + "/generate", {**body, "stream": True}
    # An answer given again from the cache comes in one piece.
    anew = {"cache-control": "no-store"}
    with httpx2.stream("POST", url, json=body, headers=anew, timeout=60) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line[:6] == "data: "]
    pieces = [event["text"] for event in events if "text" in event]
    assert "".join(pieces) == whole
    assert len(pieces) > 5


def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers(live: Appliance) -> None:
    answer = generate(live.url, "word " * 9000, max_tokens=10)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["code"] == "context_length_exceeded"
    assert problem["limit"] == 8192
    assert problem["prompt_tokens"] > 9000
    assert str(problem["prompt_tokens"]) in problem["detail"]


def test_a_stop_string_ends_the_answer_and_is_not_shown(live: Appliance) -> None:
    body: dict[str, Any] = {
        "prompt": "Count: one, two, three, four, five",
        "max_tokens": 60,
        "temperature": 0,
    }
    free = generate(live.url, **body).json()["generated_text"]
    stop = free[len(free) // 2 :][:4]
    stopped = generate(live.url, **body, stop=[stop]).json()
    assert stopped["generated_text"] == free[: free.index(stop)]
    assert stopped["finish_reason"] == "stop"


def test_more_requests_than_places_all_get_answers(live: Appliance) -> None:
    with ThreadPoolExecutor(24) as pool:
        answers = list(
            pool.map(lambda i: generate(live.url, f"Number {i}.", max_tokens=8), range(24))
        )
    assert [answer.status_code for answer in answers] == [200] * 24
