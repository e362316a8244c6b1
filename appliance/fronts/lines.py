"""What the first front and a further one tell each other: one JSON object a line.

The first front writes to the other's standard input, which is its life line too. First of all one
`Order`, then:

    {"engine": {…EngineStatus…}}                  now, and after every change
    {"lease": 7, "endpoint": {…Endpoint…}}        the engine is held for an answer
    {"lease": 7, "endpoint": null}                it cannot be had, for the reason in its status
    {"energy": [12.5, 60.0]}                      joules for each who runs so far, watts for each

The other writes to its standard output:

    {"serving": true}                             it answers from now on
    {"beat": true}                                every second: its event loop turns
    {"lease": 7}, {"release": 7}                  an answer begins and ends
    {"opened": "01J…"}, {"closed": "01J…"}        a request's row
    {"request": {…RequestSeen…}}                  to be counted
    {"generation": {…GenerationSeen…}}            to be counted
    {"ledger": {…LedgerReading…}}                 after every change
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from appliance.domain import Phrase
from appliance.engine.config import Endpoint
from appliance.engine.status import EngineStatus
from appliance.observability.readings import LedgerReading
from appliance.observability.seen import GenerationSeen, RequestSeen
from appliance.settings import Settings

BEAT_SECONDS = 1.0
# A request's sampling may be long: a stop string is what its client likes.
LONGEST_LINE_BYTES = 64 * 1024 * 1024

STATUS = TypeAdapter(EngineStatus)
REQUEST = TypeAdapter(RequestSeen)
GENERATION = TypeAdapter(GenerationSeen)
LEDGER = TypeAdapter(LedgerReading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that a further front is told at its start. `listener` is an inherited descriptor.

    `channel` is the first front's socket for relayed requests, which `secret` opens; `places` are
    those of the engine until it has said how many it has. `certificate` and its `key` are None
    for plain HTTP.
    """

    number: int
    settings: Settings
    listener: int
    channel: str
    secret: str
    places: int
    certificate: str | None = None
    key: str | None = None


ORDER = TypeAdapter(Order)


class Tell(Protocol):
    """Says a line to the other side, at once and without waiting."""

    def __call__(self, **words: Any) -> None: ...


def written(**words: Any) -> bytes:
    return to_json(words) + b"\n"


def read(line: bytes) -> dict[str, Any]:
    words: dict[str, Any] = from_json(line)
    return words


def shown(status: EngineStatus) -> dict[str, Any]:
    """A status as a line carries it. Sentences within sentences become text: a further front
    speaks to programs, in English."""
    incidents = tuple(replace(one, reason=_flat(one.reason)) for one in status.incidents)
    flat = replace(
        status,
        reason=status.reason and _flat(status.reason),
        notice=status.notice and _flat(status.notice),
        incidents=incidents,
    )
    return asdict(flat)


def endpoint_of(words: dict[str, Any] | None) -> Endpoint | None:
    return None if words is None else Endpoint(**words)


def _flat(phrase: Phrase) -> Phrase:
    values = phrase.values.items()
    plain = {k: v if isinstance(v, str | int | float | None) else str(v) for k, v in values}
    return replace(phrase, values=plain)
