"""Traces of a whole appliance at a collector: true ids, standard names, no content, no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from appliance.observability import traces
from appliance.observability.traces import Traces
from tests.logs import said_by
from tests.observability.collector import Collector, values
from tests.observability.watching import ask, scrape, wait_for
from tests.scripted_app import ScriptedAppliance, scripted_appliance

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CHAT = "/v1/chat/completions"
ASKED, GENERATED = f"POST {CHAT}", "chat scripted"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    with collector.running():
        yield collector


@pytest.fixture(scope="module")
def traced(
    collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScriptedAppliance]:
    folder = tmp_path_factory.mktemp("traced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "EVERY_SECONDS", 0.05)
        with scripted_appliance(folder, otlp_endpoint=collector.url + "/") as running:
            yield running


def trace_of(number: int) -> str:
    return f"{number:032x}"


def calls_with(trace: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{PARENT}-{flags}"}


def seconds(span: Span) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


def test_a_request_and_its_generation_stand_in_the_callers_trace(
    traced: ScriptedAppliance, collector: Collector
) -> None:
    after = traced.mark()
    more = {"temperature": 0.5, "max_tokens": 9, "headers": calls_with(TRACE)}
    assert ask(traced, "say A B C", **more).status_code == 200
    found = collector.of(TRACE, 5)
    request, generation = found[ASKED], found[GENERATED]
    assert request.parent_span_id.hex() == PARENT
    assert (request.kind, generation.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert generation.parent_span_id == request.span_id
    assert len({span.span_id for span in found.values()}) == 5
    # The ledger has the same trace, and the engine works for the generation's span.
    ((_, row),) = traced.rows(CHAT, after=after)
    assert row is not None
    assert row.trace_id == TRACE
    assert traced.engine.traceparents[-1] == f"00-{TRACE}-{generation.span_id.hex()}-01"
    about = values(generation.attributes)
    port = int(traced.engine.url.split(":")[2].split("/")[0])
    assert about.pop("gen_ai.response.time_to_first_chunk") > 0
    assert about == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "remote",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.id": row.id,
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "server.address": "127.0.0.1",
        "server.port": port,
        "appliance.cache": "unused",
    }
    assert values(request.attributes) == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "appliance.request.id": row.request_id,
    }


def test_phases_follow_each_other_and_fill_the_generation(
    traced: ScriptedAppliance, collector: Collector
) -> None:
    trace = trace_of(2)
    assert ask(traced, "say A B C", headers=calls_with(trace)).status_code == 200
    found = collector.of(trace, 5)
    whole, phases = found[GENERATED], [found[name] for name in ("queue", "prefill", "decode")]
    assert all(phase.parent_span_id == whole.span_id for phase in phases)
    assert phases[0].start_time_unix_nano == whole.start_time_unix_nano
    assert phases[-1].end_time_unix_nano == whole.end_time_unix_nano
    for earlier, later in pairwise(phases):
        assert earlier.end_time_unix_nano == later.start_time_unix_nano
    assert sum(map(seconds, phases)) == pytest.approx(seconds(whole), abs=1e-5)
    assert 0 < seconds(whole) < 30


def test_failures_are_told_by_their_code(traced: ScriptedAppliance, collector: Collector) -> None:
    trace = trace_of(3)
    assert ask(traced, "die", headers=calls_with(trace)).status_code == 502
    found = collector.of(trace, 5)
    assert found[GENERATED].status.code == Status.STATUS_CODE_ERROR
    assert values(found[GENERATED].attributes)["error.type"] == "engine_failed"
    assert found[ASKED].status.code == Status.STATUS_CODE_ERROR
    assert values(found[ASKED].attributes)["error.type"] == "502"


def test_an_answer_out_of_the_cache_shows_no_work(
    traced: ScriptedAppliance, collector: Collector
) -> None:
    first, second = trace_of(4), trace_of(5)
    for trace in (first, second):
        more = {"temperature": 0, "headers": calls_with(trace)}
        assert ask(traced, "say once", **more).status_code == 200
    collector.of(first, 5)
    found = collector.of(second, 2)
    assert found[GENERATED].kind == Span.SPAN_KIND_INTERNAL
    about = values(found[GENERATED].attributes)
    assert about["appliance.cache"] == "hit"
    assert "server.address" not in about


def test_no_content_no_key_and_no_address_leave_the_house(
    traced: ScriptedAppliance, collector: Collector
) -> None:
    trace = trace_of(6)
    secret = traced.key("anna-of-the-third-floor")
    headers = calls_with(trace) | {"authorization": f"Bearer {secret}"}
    more = {"stop": ["unspeakable"], "headers": headers | {"x-forwarded-for": "203.0.113.7"}}
    assert ask(traced, "say Rumpelstiltskin", **more).status_code == 200
    collector.of(trace, 5)
    told = b"".join(collector.bodies).decode()
    hidden = ("Rumpel", "anna-of", "203.0.113", "127.0.0.1:", "unspeakable", secret, "Bearer")
    assert [word for word in hidden if word in told] == []
    assert collector.resources[0]["service.name"] == "appliance"
    assert collector.resources[0]["service.instance.id"]


def test_a_trace_that_its_caller_has_dropped_is_dropped_here(
    traced: ScriptedAppliance, collector: Collector
) -> None:
    dropped, kept = trace_of(7), trace_of(8)
    assert ask(traced, "say A", headers=calls_with(dropped, "00")).status_code == 200
    told = traced.engine.traceparents[-1]
    assert told is not None
    assert (told[:36], told[-3:]) == (f"00-{dropped}-", "-00")
    assert ask(traced, "say A", headers=calls_with(kept)).status_code == 200
    collector.of(kept, 5)
    assert dropped not in {span.trace_id.hex() for span in collector.spans}


def test_who_brings_no_trace_begins_one(traced: ScriptedAppliance, collector: Collector) -> None:
    after = traced.mark()
    assert ask(traced, "say A").status_code == 200
    ((_, row),) = traced.rows(CHAT, after=after)
    assert row is not None
    assert row.trace_id
    assert not collector.of(row.trace_id, 5)[ASKED].parent_span_id


def test_spans_are_counted(traced: ScriptedAppliance, collector: Collector) -> None:
    collector.of(_asked_once(traced, 9), 5)
    wait_for(lambda: scrape(traced).value("appliance_spans_total", result="sent") >= 5)
    assert scrape(traced).value("appliance_spans_total", result="lost") == 0


def _asked_once(appliance: ScriptedAppliance, number: int) -> str:
    trace = trace_of(number)
    assert ask(appliance, "say A", headers=calls_with(trace)).status_code == 200
    return trace


def test_without_a_collector_the_callers_place_in_the_trace_is_passed_on(
    watched: ScriptedAppliance,
) -> None:
    assert ask(watched, "say A", headers=calls_with(TRACE)).status_code == 200
    assert watched.engine.traceparents[-1] == f"00-{TRACE}-{PARENT}-01"
    assert ask(watched, "say A").status_code == 200
    assert watched.engine.traceparents[-1] is None


def test_a_collector_that_is_away_is_said_once_and_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And what still waits when the appliance stops is told at its end."""
    monkeypatch.setattr(traces, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(traces, "LONGEST_PAUSE_SECONDS", 0.1)
    collector = Collector()
    with ExitStack() as later:
        with scripted_appliance(tmp_path, otlp_endpoint=collector.url) as appliance:
            first = _asked_once(appliance, 10)
            wait_for(lambda: "cannot be sent" in caplog.text)
            collector.status = 503
            with collector.running():
                wait_for(lambda: collector.posts >= 3)
                collector.status = 200
                collector.of(first, 5)
                wait_for(lambda: "sent again" in caplog.text)
            second = _asked_once(appliance, 11)
            later.enter_context(collector.running())
        collector.of(second, 5)
    said = [record.message for record in said_by(traces, caplog)]
    assert said[0].startswith(f"Traces cannot be sent to {collector.url}/v1/traces: ")
    assert said[1] == "Traces are sent again; 0 spans were lost since the start"


def test_what_waits_is_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_WAITING", 10)
    collector = Collector()
    sender = Traces(collector.url, {}, "0")
    sender.offer([{"name": str(number)} for number in range(25)])
    assert sender.lost == 15
    with collector.running():
        sender.close()
    assert [span.name for span in collector.spans] == [str(number) for number in range(10)]
    assert (sender.sent, sender.lost) == (10, 15)


def test_what_a_collector_refuses_for_good_is_not_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector()
    collector.status = 400
    with collector.running():
        sender = Traces(collector.url, {}, "0")
        sender.offer([{"name": "one"}])
        sender.close()
    assert (collector.posts, sender.sent, sender.lost) == (1, 0, 1)
    assert "status 400" in caplog.text


def test_the_environment_of_other_programs_is_not_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FastAPI would tell whoever it names, or say in the log that it lacks the parts for it."""
    collector = Collector()
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with collector.running(), scripted_appliance(tmp_path) as quiet:
        assert ask(quiet, "say A").status_code == 200
    assert collector.posts == 0
    assert "telemetry" not in caplog.text
