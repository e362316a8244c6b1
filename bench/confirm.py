"""Whether the simulation tells the truth: the same requests, asked of a real appliance.

    python -m bench.confirm                      a scripted engine: a token every 20 ms a stream
    python -m bench.confirm --engine worker      the demo model, whose curve is measured first

Requests come by chance at a fixed mean rate, more than the places can take at once. Each is then
simulated with its own arrival and length; what differs is what the simulation does not know.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from statistics import mean

import httpx2

from bench.contestants import Front, Worker, demo_config
from bench.ending import end_with_children
from bench.front import Scripted
from bench.report import heading, markdown
from bench.simulate import Asked, Curve, percentile, simulate
from bench.streams import HttpServer, fresh_prompts

GAP = 0.02


def measured(front: HttpServer, arrivals: list[float], tokens: list[int]) -> list[Asked]:
    """Ask as planned; what came of it. An answer begins with its place at the engine."""
    done: list[Asked] = []
    prompts = fresh_prompts(len(arrivals))
    began = time.perf_counter()

    def ask(number: int) -> None:
        time.sleep(max(0.0, began + arrivals[number] - time.perf_counter()))
        one = Asked(time.perf_counter() - began, "owner", 0)
        body = {"prompt": prompts[number], "max_tokens": tokens[number], "raw": True}
        url = f"http://127.0.0.1:{front.port}/generate"
        answer = httpx2.post(url, json=body, timeout=600).raise_for_status().json()
        one.ended = time.perf_counter() - began
        one.began = one.at + answer["queue_ms"] / 1000
        one.tokens = answer["completion_tokens"]
        done.append(one)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(arrivals))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(done, key=lambda one: one.at)


def curve_of(front: HttpServer, places: int) -> Curve:
    """Measured: so many streams at once, each of the same length."""
    points = []
    for streams in sorted({1, 2, places}):
        run = front.run(fresh_prompts(streams), 64)
        points.append((float(streams), run.speed))
    return Curve(tuple(points))


def figures(done: list[Asked]) -> list[str]:
    waits, whole = [one.wait for one in done], [one.duration for one in done]
    values = (mean(waits), percentile(waits, 0.95), mean(whole), percentile(whole, 0.95))
    return [f"{value:.2f}" for value in values]


def compare(front: HttpServer, curve: Curve, places: int, count: int, per_second: float) -> str:
    chance = random.Random(7)  # noqa: S311 - a load, not a secret
    arrivals, at = [], 0.0
    for _ in range(count):
        at += chance.expovariate(per_second)
        arrivals.append(at)
    real = measured(front, arrivals, [chance.randint(20, 120) for _ in range(count)])
    same = [Asked(one.at, one.user, one.tokens) for one in real]
    told = simulate(same, curve, places)
    heads = ["", "wait mean, s", "wait p95, s", "answer mean, s", "answer p95, s"]
    return markdown(heads, [["measured", *figures(real)], ["simulated", *figures(told)]])


def main() -> None:
    end_with_children()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["scripted", "worker"], default="scripted")
    parser.add_argument("--places", type=int, default=4)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--rate", type=float, help="requests a second; default: 0.9 of the most")
    args = parser.parse_args()
    print(heading("bench.confirm"))
    with tempfile.TemporaryDirectory() as cache:
        if args.engine == "worker":
            engine: HttpServer = Worker(demo_config("openvino", cache))
        else:
            engine = Scripted(GAP)
        front = Front(engine, places=args.places)
        try:
            if args.engine == "worker":
                curve = curve_of(front, args.places)
            else:
                curve = Curve(((1.0, 1 / GAP), (float(args.places), args.places / GAP)))
            rate = args.rate or 0.9 * curve.speed(args.places) / 70
            print(f"curve {curve.points}, {args.places} places, {rate:.2f} requests a second\n")
            print(compare(front, curve, args.places, args.requests, rate))
        finally:
            front.end()
            engine.end()


if __name__ == "__main__":
    main()
