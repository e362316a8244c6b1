"""Log lines: for people by default, JSON for programs, and always with their request."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal

import pytest

from appliance.observability import context
from appliance.observability.logs import ACCESS, log_request, set_up_logging
from appliance.observability.seen import RequestSeen

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SEEN = RequestSeen(method="POST", route="/generate", status=200, seconds=1.23456)
Form = Literal["text", "json"]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Form], io.StringIO]]:
    """Sets logging up in a form, and gives what is then written."""
    root = logging.getLogger()
    before, level, access = root.handlers[:], root.level, ACCESS.level

    def begin(form: Form) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        root.handlers = []  # pytest's own would be closed by a set-up that takes over
        set_up_logging(form)
        return stream

    yield begin
    root.handlers = before
    root.setLevel(level)
    ACCESS.setLevel(access)


def in_a_request(act: Callable[[], None]) -> None:
    token = context.enter(context.RequestContext("01REQUEST", TRACE))
    try:
        act()
    finally:
        context.leave(token)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_names_request_and_trace(written: Callable[[Form], io.StringIO]) -> None:
    stream = written("json")
    in_a_request(lambda: logging.getLogger("appliance.x").warning("disk is %s", "full"))
    (line,) = lines(stream)
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "warning",
        "logger": "appliance.x",
        "message": "disk is full",
        "request_id": "01REQUEST",
        "trace_id": TRACE,
    }


def test_an_exception_stays_on_one_line(written: Callable[[Form], io.StringIO]) -> None:
    stream = written("json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("appliance.x").exception("it failed")
    (line,) = lines(stream)
    assert "ValueError: two\nlines" in line["exception"]
    assert "request_id" not in line


def test_json_has_a_line_for_every_request(written: Callable[[Form], io.StringIO]) -> None:
    stream = written("json")
    in_a_request(lambda: log_request(SEEN))
    (line,) = lines(stream)
    assert line["message"] == "POST /generate 200"
    assert (line["status"], line["seconds"], line["request_id"]) == (200, 1.2346, "01REQUEST")


def test_text_is_for_people(written: Callable[[Form], io.StringIO]) -> None:
    stream = written("text")
    log_request(SEEN)
    in_a_request(lambda: logging.getLogger("appliance.x").warning("disk is full"))
    assert stream.getvalue() == "WARNING appliance.x: disk is full (request 01REQUEST)\n"


def test_where_several_serve_a_line_says_which(written: Callable[[Form], io.StringIO]) -> None:
    wanted: dict[Form, str] = {"text": "WARNING front 2, appliance.x: full\n", "json": '"front": 2'}
    for form, said in wanted.items():
        stream = written("text")
        set_up_logging(form, front=2)
        logging.getLogger("appliance.x").warning("full")
        assert said in stream.getvalue()
