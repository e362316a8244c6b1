"""`replay`: recorded requests run again as a regression suite, on the appliance that runs now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from itertools import islice
from typing import Annotated, Any

import typer

from appliance.cli_running import AdminKey, Refused, Running
from appliance.flags import merged_flags, takes_settings
from appliance.key_flags import lifetime
from appliance.settings import load_settings

# One answer may take its time; the appliance itself gives up on an engine that is silent.
ANSWER_SECONDS = 900.0
COMPLETE = ("stop", "length", "tool_calls")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request run again. `alike` is from 0 to 1 by words; `error` says why there is none."""

    request_id: str
    replay_id: str | None
    alike: float
    first_ms: float | None
    again_ms: float | None
    error: str | None = None
    first: str = ""
    again: str = ""

    @property
    def same(self) -> bool:
        return self.error is None and self.first == self.again


@takes_settings("data_dir")
def replay(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="How far back, such as 2h or 7d.")] = "1d",
    key: Annotated[str | None, typer.Option(help="Only requests of this key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest.")] = 20,
    against: Annotated[
        str | None, typer.Option(help="Another OpenAI-compatible server instead of this one.")
    ] = None,
    against_key: Annotated[str | None, typer.Option(help="Its key.")] = None,
    model: Annotated[str | None, typer.Option(help="An adapter, or a model there.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2)] = None,
    thinking: Annotated[bool | None, typer.Option("--thinking/--no-thinking")] = None,
    api_key: AdminKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    **flags: Any,
) -> None:
    """Run recorded requests again and compare. Exit status 1: some answers differ."""
    settings = load_settings(merged_flags(context, flags))
    changes = {
        "temperature": temperature,
        "thinking": thinking,
        "model": model,
        "url": against,
        "key": against_key,
    }
    with Running(settings.data_dir, api_key, ANSWER_SECONDS) as appliance:
        outcomes = []
        for row in chosen(appliance, datetime.now(UTC) - lifetime(since), key, limit):
            outcomes.append(run_again(appliance, row["id"], changes))
            if not as_json:
                typer.echo(in_words(outcomes[-1]))
    typer.echo(to_json(outcomes) if as_json else summary(outcomes))
    if not all(outcome.same for outcome in outcomes):
        raise typer.Exit(1)


def chosen(
    appliance: Running, since: datetime, key: str | None, limit: int
) -> list[dict[str, Any]]:
    """The newest complete answers, replays left out, oldest first."""
    rows = (row for row in _rows(appliance, since, key) if _is_original(row))
    return list(islice(rows, limit))[::-1]


def _rows(appliance: Running, since: datetime, key: str | None) -> Iterator[dict[str, Any]]:
    """The ledger since then, newest first, page by page."""
    asked = {"since": since.isoformat(), "answers": True} | ({"key": key} if key else {})
    while True:
        page = appliance.ask("GET", "/requests", params=asked)
        yield from page["requests"]
        if page["next_before"] is None:
            return
        asked["before"] = page["next_before"]


def _is_original(row: dict[str, Any]) -> bool:
    generations = row["generations"]
    if not generations:
        return False
    return generations[0]["finish_reason"] in COMPLETE and generations[0]["replay_of"] is None


def run_again(appliance: Running, request_id: str, changes: dict[str, Any]) -> Outcome:
    """One request again; a refusal is an outcome too."""
    try:
        answer = appliance.ask("POST", f"/requests/{request_id}/replay", json=changes)
    except Refused as refusal:
        return Outcome(request_id, None, 0.0, None, None, error=str(refusal))
    first, second = answer["first"], answer["again"]
    texts = said(first), said(second)
    times = first["duration_ms"], second["duration_ms"]
    return Outcome(
        request_id, answer["id"], likeness(*texts), *times, first=texts[0], again=texts[1]
    )


def said(answer: dict[str, Any]) -> str:
    """The text, and each call on a line of its own, without its id, which is new every time."""
    calls = [f"{call['name']}({call['arguments']})" for call in answer["tool_calls"]]
    return "\n".join(filter(None, [answer["output"], *calls]))


def likeness(first: str, again: str) -> float:
    """How alike two texts are, from 0 to 1: words that stand in both, in order."""
    if first == again:
        return 1.0
    return SequenceMatcher(None, first.split(), again.split(), autojunk=False).ratio()


def in_words(outcome: Outcome) -> str:
    """One outcome as a line."""
    if outcome.error is not None:
        return f"{outcome.request_id}  cannot be run again: {outcome.error}"
    said = "the same" if outcome.same else f"{outcome.alike:.0%} alike"
    times = f"{_seconds(outcome.first_ms)} → {_seconds(outcome.again_ms)}"
    return f"{outcome.request_id}  {said:10}  {times}  as {outcome.replay_id}"


def summary(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return "There is nothing to run again: no complete answer in this time."
    same = sum(outcome.same for outcome in outcomes)
    failed = sum(outcome.error is not None for outcome in outcomes)
    different = len(outcomes) - same - failed
    return (
        f"{len(outcomes)} run again: {same} the same, {different} different, {failed} not possible."
    )


def to_json(outcomes: list[Outcome]) -> str:
    rows = [
        {name: getattr(outcome, name) for name in (*Outcome.__dataclass_fields__, "same")}
        for outcome in outcomes
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2)


def _seconds(milliseconds: float | None) -> str:
    return "?" if milliseconds is None else f"{milliseconds / 1000:.1f} s"
