"""Silence is counted only while we were awake; a look that works ends it."""

from __future__ import annotations

import pytest

from appliance.engine.watchdog import Silence, answers
from tests.live import free_port


def test_silence_adds_up_look_by_look() -> None:
    silence = Silence(limit=30, step=11, now=0)
    assert [silence.note(False, now) for now in (10, 20, 29)] == [False] * 3
    assert silence.note(False, 30)


def test_an_answer_ends_it() -> None:
    silence = Silence(limit=30, step=11, now=0)
    silence.note(False, 10)
    silence.note(True, 20)
    assert not silence.note(False, 30)


def test_a_night_asleep_counts_as_one_look() -> None:
    silence = Silence(limit=30, step=11, now=0)
    assert not silence.note(False, 8 * 3600)
    assert not silence.note(False, 8 * 3600 + 10)
    assert silence.note(False, 8 * 3600 + 20)


@pytest.mark.anyio
async def test_nobody_at_the_port_is_no_answer() -> None:
    assert not await answers(free_port())
