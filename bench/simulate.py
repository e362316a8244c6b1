"""How long people would wait: a discrete-event simulation of the queue before an engine.

    python -m bench.simulate                                    a laptop, by our own measurement
    python -m bench.simulate --curve 1:100,8:700,64:2500 --places 64 --users 50,100,200

People ask, read the answer, and ask again. An engine is its curve: tokens a second, all streams
together, by how many it works on at once. The line is the gateway's own (`gateway.line`), so turns
are given as the appliance gives them. `bench.confirm` holds this against a real appliance.
"""

from __future__ import annotations

import argparse
import heapq
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from appliance.gateway.line import Line, Turn
from bench.report import markdown

# bench/records/2026-11-22-first-figures.md: the demo model on two cores, through the appliance.
LAPTOP = "1:50,4:105,16:205"
# Less than any part of a token that rounding leaves over.
NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Curve:
    """Tokens a second of all streams together, by their number; straight between the points."""

    points: tuple[tuple[float, float], ...]

    @classmethod
    def read(cls, text: str) -> Curve:
        """From `1:50,4:105`. Beyond the last point nothing is gained."""
        pairs = (part.split(":") for part in text.split(","))
        return cls(tuple(sorted((float(n), float(speed)) for n, speed in pairs)))

    def speed(self, streams: int) -> float:
        counts = [count for count, _ in self.points]
        at = bisect_left(counts, streams)
        if at == len(self.points):
            return self.points[-1][1]
        if at == 0 or counts[at] == streams:
            count, speed = self.points[at]
            return speed * min(1.0, streams / count)
        (below, slow), (above, fast) = self.points[at - 1], self.points[at]
        return slow + (fast - slow) * (streams - below) / (above - below)


@dataclass(slots=True)
class Asked:
    """One request. Times in seconds; `left` are the tokens that are still to be said."""

    at: float
    user: str
    tokens: float
    began: float = 0.0
    ended: float = 0.0
    left: float = field(default=0.0)

    @property
    def wait(self) -> float:
        return self.began - self.at

    @property
    def duration(self) -> float:
        return self.ended - self.at


def simulate(
    first: Sequence[Asked],
    curve: Curve,
    places: int,
    again: Callable[[Asked], Asked | None] = lambda _: None,
) -> list[Asked]:
    """All requests, ended. `again` is what a user asks after an answer; None: nothing more."""
    coming = [(one.at, number, one) for number, one in enumerate(first)]
    heapq.heapify(coming)
    engine, now, count = Engine(curve, places), 0.0, len(coming)
    done: list[Asked] = []
    while coming or engine.running:
        end = now + engine.seconds_left
        then = min(end, coming[0][0]) if coming else end
        ended = engine.work(now, then)
        now = then
        for one in ended:
            done.append(one)
            if (following := again(one)) is not None:
                count += 1
                heapq.heappush(coming, (following.at, count, following))
        while coming and coming[0][0] <= now:
            engine.join(heapq.heappop(coming)[2])
        engine.fill(now)
    return done


class Engine:
    """Places, who holds them, and the line before them."""

    def __init__(self, curve: Curve, places: int) -> None:
        self.running: list[Asked] = []
        self._curve, self._places = curve, places
        self._line, self._waiting = Line(), dict[Turn, Asked]()

    @property
    def _pace(self) -> float:
        """Tokens a second of each stream."""
        return self._curve.speed(len(self.running)) / len(self.running)

    @property
    def seconds_left(self) -> float:
        """Until the next answer ends, if nobody comes; infinity while nothing runs."""
        if not self.running:
            return float("inf")
        return min(one.left for one in self.running) / self._pace

    def work(self, since: float, until: float) -> list[Asked]:
        """Say tokens for that long; returns the answers that have ended."""
        if self.running:
            said = (until - since) * self._pace
            for one in self.running:
                one.left -= said
        ended = [one for one in self.running if one.left <= NOTHING]
        for one in ended:
            self.running.remove(one)
            one.ended = until
        return ended

    def join(self, one: Asked) -> None:
        turn = Turn(name=one.user)
        self._line.join(turn)
        self._waiting[turn] = one

    def fill(self, now: float) -> None:
        """Give free places away, in the order of the line."""
        while len(self.running) < self._places and (turn := self._line.next()) is not None:
            self._line.take(turn)
            one = self._waiting.pop(turn)
            one.began, one.left = now, one.tokens
            self.running.append(one)


def people(
    users: int, curve: Curve, places: int, *, tokens: float, pause: float, seconds: float, seed: int
) -> list[Asked]:
    """A crowd for `seconds`: exponential pauses of mean `pause`, answers of mean `tokens`."""
    chance = random.Random(seed)  # noqa: S311 - a simulation

    def asks(user: str, after: float) -> Asked:
        length = max(1.0, chance.expovariate(1 / tokens))
        return Asked(after + chance.expovariate(1 / pause), user, length)

    def again(one: Asked) -> Asked | None:
        return asks(one.user, one.ended) if one.ended < seconds else None

    return simulate([asks(str(n), 0.0) for n in range(users)], curve, places, again)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(users: int, done: Sequence[Asked], places: int) -> list[str]:
    """Users, requests a minute, tokens a second, waits and durations, and how full it was."""
    span = max(one.ended for one in done) - min(one.at for one in done)
    waits, whole = [one.wait for one in done], [one.duration for one in done]
    held = sum(one.ended - one.began for one in done) / (span * places)
    shown = [percentile(waits, 0.5), percentile(waits, 0.95), percentile(whole, 0.5)]
    return [
        str(users),
        f"{60 * len(done) / span:.1f}",
        f"{sum(one.tokens for one in done) / span:.0f}",
        *(f"{value:.1f}" for value in (*shown, percentile(whole, 0.95))),
        f"{held:.0%}",
    ]


HEADS = ["users", "requests a minute", "tokens/s", "wait p50, s", "wait p95, s"]
HEADS += ["answer p50, s", "answer p95, s", "places held"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curve", default=LAPTOP, help="streams:tokens a second, …")
    parser.add_argument("--places", type=int, default=16, help="answers at once")
    parser.add_argument("--users", default="5,10,20,40", help="people, …")
    parser.add_argument("--tokens", type=float, default=300, help="mean length of an answer")
    parser.add_argument("--pause", type=float, default=60, help="mean seconds until the next")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    curve, crowd = Curve.read(args.curve), [int(n) for n in args.users.split(",")]
    how = {"tokens": args.tokens, "pause": args.pause, "seconds": args.hours * 3600}
    rows = []
    for users in crowd:
        done = people(users, curve, args.places, **how, seed=args.seed)
        rows.append(row(users, done, args.places))
    print(f"engine {args.curve}, {args.places} places, {args.tokens:g} tokens, {args.pause:g} s\n")
    print(markdown(HEADS, rows))


if __name__ == "__main__":
    main()
