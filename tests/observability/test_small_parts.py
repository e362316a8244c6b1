"""Tallies, cards and trace contexts, each alone."""

from __future__ import annotations

import asyncio

import pytest

from appliance.observability import context
from appliance.observability.gpu import Gpus
from appliance.observability.tally import MAX_SERIES, OTHER, Counter, Histogram
from tests.observability.scripted_nvml import GB, ScriptedNvml

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_value_on_a_bound_belongs_below_it() -> None:
    tally = Histogram("seconds", "", ("which",), (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        tally.observe(value, "a")
    ((labels, seen),) = tally.series()
    assert (labels, seen.counts, seen.sum) == (("a",), (2, 2, 1), 14.0)


def test_a_tally_never_grows_beyond_its_bound() -> None:
    tally = Counter("things", "", ("one", "two"))
    for number in range(2 * MAX_SERIES):
        tally.add(str(number), "x")
    series = dict(tally.series())
    assert len(series) == MAX_SERIES + 1
    assert series[OTHER, OTHER] == MAX_SERIES
    tally.add("0", "x")
    assert dict(tally.series())["0", "x"] == 2


def test_a_card_tells_what_it_knows() -> None:
    new, old = Gpus(ScriptedNvml()).read()
    assert (new.index, new.name, new.utilization) == (0, "RTX new", 0.83)
    assert (new.memory_used, new.memory_total) == (6 * GB, 8 * GB)
    assert (new.power, new.temperature, new.energy) == (95.5, 61, 7250)
    assert (old.name, old.power, old.energy) == ("RTX old", None, None)


def test_a_driver_that_is_lost_is_asked_again_later() -> None:
    driver = ScriptedNvml()
    gpus = Gpus(driver)
    assert len(gpus.read()) == 2
    assert len(gpus.read()) == 2
    assert driver.opened == 1
    driver.ill = driver.NVMLError("GPU is lost")
    assert gpus.read() == ()
    driver.ill = None
    assert len(gpus.read()) == 2
    assert driver.opened == 2


def test_no_driver_is_no_cards() -> None:
    driver = ScriptedNvml()
    driver.ill = OSError("libnvidia-ml.so.1")
    assert Gpus(driver).read() == ()


@pytest.mark.parametrize(
    ("header", "parent", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", SPAN, True),
        (f"00-{TRACE}-{SPAN}-00", SPAN, False),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", SPAN, True),
    ],
)
def test_a_callers_trace_is_continued(header: str, parent: str, sampled: bool) -> None:
    found = context.read_context("id", header)
    assert (found.trace_id, found.parent_span_id, found.sampled) == (TRACE, parent, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_a_header_against_the_standard_counts_as_none(header: str) -> None:
    found = context.read_context("id", header)
    assert found.trace_id != TRACE
    assert (len(found.trace_id), found.parent_span_id, found.sampled) == (32, None, True)


def test_the_context_follows_a_request_into_its_tasks() -> None:
    async def below() -> str | None:
        found = context.current()
        return found.request_id if found else None

    async def request(name: str) -> str | None:
        token = context.enter(context.read_context(name, ""))
        try:
            return await asyncio.create_task(below())
        finally:
            context.leave(token)

    async def both() -> list[str | None]:
        return list(await asyncio.gather(request("a"), request("b")))

    assert asyncio.run(both()) == ["a", "b"]
    assert context.current() is None
