"""The browser of `bench.pages`, which nothing listens to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.chromium import Chromium, Tab
from tests.browser.conftest import QUIET, chromium_path
from tests.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with Chromium(chromium_path(), QUIET) as opened:
        yield opened


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    with browser.profile() as profile:
        yield browser.tab(profile, width=640, height=480)


async def test_a_tab_goes_where_it_is_told_and_answers(tab: Tab) -> None:
    tab.go("data:text/html,<title>Here</title><p>Hello")
    await until(lambda: tab.ask("document.title") == "Here")
    assert tab.ask("[innerWidth, innerHeight]") == [640, 480]
    assert tab.ask("Promise.resolve(7)") == 7


def test_what_fails_in_a_page_is_said(tab: Tab) -> None:
    with pytest.raises(RuntimeError, match="nothing is not defined"):
        tab.ask("nothing")


def test_a_command_that_is_refused_is_named(browser: Chromium) -> None:
    with pytest.raises(RuntimeError, match=r"No\.such"):
        browser.call("No.such")
