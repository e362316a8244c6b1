"""`/metrics` of a whole appliance: what was asked is what is counted, and who may see it."""

from __future__ import annotations

import httpx2
import pytest

from tests.observability.watching import (
    FROM_AFAR,
    TOKEN,
    Page,
    ask,
    one_working_one_waiting,
    scrape,
)
from tests.scripted_app import ScriptedAppliance

CHAT = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "scripted"}


def counted(before: Page, after: Page, name: str, **labels: str) -> float:
    return after.value(name, **labels) - before.value(name, **labels)


def test_answers_are_counted_under_the_standard_names(watched: ScriptedAppliance) -> None:
    before = scrape(watched)
    for _ in range(2):
        assert ask(watched, "say A B C").status_code == 200
    after = scrape(watched)
    for family in ("request_duration", "time_to_first_token", "time_per_output_token"):
        assert counted(before, after, f"gen_ai_server_{family}_seconds_count", **CHAT) == 2
    tokens = {
        kind: counted(before, after, "gen_ai_client_token_usage_sum", gen_ai_token_type=kind)
        for kind in ("input", "output")
    }
    assert tokens == {"input": 14, "output": 6}
    assert counted(before, after, "appliance_prefix_cache_hit_tokens_total") == 6
    assert counted(before, after, "appliance_generations_total", finish_reason="stop") == 2


def test_boards_made_for_vllm_find_the_same_numbers(watched: ScriptedAppliance) -> None:
    before = scrape(watched)
    assert ask(watched, "say A B C").status_code == 200
    after = scrape(watched)
    for name, amount in {
        "prompt_tokens_total": 7,
        "generation_tokens_total": 3,
        "prefix_cache_hits_total": 3,
        "e2e_request_latency_seconds_count": 1,
        "time_to_first_token_seconds_count": 1,
        "inter_token_latency_seconds_count": 1,
        "request_queue_time_seconds_count": 1,
        "request_prefill_time_seconds_count": 1,
        "request_decode_time_seconds_count": 1,
        "request_prompt_tokens_count": 1,
        "request_generation_tokens_sum": 3,
    }.items():
        assert counted(before, after, f"vllm:{name}", model_name="scripted") == amount, name
    assert counted(before, after, "vllm:request_success_total", finished_reason="stop") == 1


def test_failures_are_counted_by_their_code(watched: ScriptedAppliance) -> None:
    before = scrape(watched)
    assert ask(watched, "refuse 503").status_code == 503
    assert ask(watched, "die").status_code == 502
    after = scrape(watched)
    for code in ("engine_unavailable", "engine_failed"):
        assert counted(before, after, "appliance_refused_total", reason=code) == 1
        failed = "gen_ai_server_request_duration_seconds_count"
        assert counted(before, after, failed, error_type=code) == 1
    assert counted(before, after, "vllm:e2e_request_latency_seconds_count") == 0


def test_an_answer_out_of_the_cache_is_no_work_of_the_model(watched: ScriptedAppliance) -> None:
    before = scrape(watched)
    for _ in range(2):
        assert ask(watched, "say once", temperature=0).status_code == 200
    after = scrape(watched)
    results = {
        result: counted(before, after, "appliance_cache_requests_total", result=result)
        for result in ("hit", "miss", "unused")
    }
    assert results == {"hit": 1, "miss": 1, "unused": 0}
    assert counted(before, after, "gen_ai_server_request_duration_seconds_count") == 1
    assert after.value("appliance_cache_entries") >= 1
    assert after.value("appliance_cache_bytes") > 0


def test_the_queue_is_seen_while_it_is_there(watched: ScriptedAppliance) -> None:
    with one_working_one_waiting(watched):
        page = scrape(watched)
        for ours, theirs in (("running", "running"), ("waiting", "waiting")):
            assert page.value(f"appliance_queue_{ours}") == 1
            assert page.value(f"vllm:num_requests_{theirs}", model_name="scripted") == 1
        assert page.value("appliance_queue_places") == 1
    page = scrape(watched)
    assert page.value("appliance_queue_wait_seconds_sum") > 0


def test_engine_ledger_disk_process_and_cards_are_read(watched: ScriptedAppliance) -> None:
    page = scrape(watched)
    assert page.value("appliance_engine_up") == 1
    assert page.value("appliance_engine_phase", phase="ready") == 1
    assert page.value("appliance_engine_phase") == 1
    assert page.value("appliance_engine_info", model="scripted", backend="remote") == 1
    assert page.value("appliance_engine_kv_usage_ratio") == 0.25
    assert page.value("vllm:kv_cache_usage_perc", model_name="scripted") == 0.25
    assert page.value("appliance_ledger_failing") == page.value("appliance_ledger_lost_total") == 0
    assert 0 < page.value("appliance_disk_free_bytes") < page.value("appliance_disk_total_bytes")
    assert page.value("appliance_ledger_bytes") > 0
    assert page.value("process_resident_memory_bytes") > 10_000_000
    assert page.value("process_cpu_seconds_total") > 0
    assert page.value("appliance_gpu_utilization_ratio", gpu="0") == pytest.approx(0.83)
    assert page.value("appliance_gpu_power_watts") == pytest.approx(95.5)


def test_buckets_reach_as_far_as_a_laptop_takes(watched: ScriptedAppliance) -> None:
    ask(watched, "say A B C")
    page = scrape(watched)
    for family in ("request_duration", "time_to_first_token", "time_per_output_token"):
        assert page.value(f"gen_ai_server_{family}_seconds_bucket", le="320.0") > 0


def test_no_client_can_choose_a_label(watched: ScriptedAppliance) -> None:
    """Neither addresses, keys, models nor methods that clients invent become series."""
    key = {"authorization": f"Bearer {watched.key('anna-of-the-third-floor')}", **FROM_AFAR}
    ask(watched, "say A", headers=key)
    ask(watched, "say A", model="a-model-of-my-own", headers=key)
    for number in range(5):
        httpx2.get(f"{watched.url}/nowhere/{number}", headers=key)
        httpx2.get(f"{watched.url}/chat/unheard-of-{number}", headers=key)
    httpx2.request("BREW", watched.url + "/v1/models", headers=key)
    text = scrape(watched).text
    invented = ("anna-of-the", "203.0.113.7", "a-model-of-my-own", "nowhere", "unheard-of", "BREW")
    assert [word for word in invented if word in text] == []
    assert 'http_route="/v1/chat/completions"' in text
    assert 'http_route="none"' in text


def test_who_may_read_the_metrics(watched: ScriptedAppliance) -> None:
    def status(**headers: str) -> int:
        return httpx2.get(watched.url + "/metrics", headers=FROM_AFAR | headers).status_code

    assert httpx2.get(watched.url + "/metrics").status_code == 200
    assert status() == 401
    assert status(authorization="Bearer " + TOKEN[:-1]) == 401
    assert status(authorization="Bearer " + TOKEN) == 200
    assert status(authorization="Bearer " + watched.key("reader")) == 403
    assert status(authorization="Bearer " + watched.key("chief", is_admin=True)) == 200


def test_the_token_opens_nothing_else(watched: ScriptedAppliance) -> None:
    headers = FROM_AFAR | {"authorization": "Bearer " + TOKEN}
    assert httpx2.get(watched.url + "/v1/models", headers=headers).status_code == 401
    assert httpx2.get(watched.url + "/admin/requests", headers=headers).status_code == 401


def test_openmetrics_is_spoken_to_who_asks_for_it(watched: ScriptedAppliance) -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = httpx2.get(watched.url + "/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
