"""Several prompts in one request: a generation each, answered as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Event,
    Finished,
    FinishReason,
    Timings,
    Usage,
)

Run = Callable[[], AsyncGenerator[Event, None]]
News = asyncio.Queue[Event | Exception]
# Events that wait to be sent; the engine is held up beyond that.
_MOST_WAITING = 256


async def side_by_side(
    runs: Sequence[Run], *, choices: int, at_once: int
) -> AsyncGenerator[Event, None]:
    """Yield `Admitted` once, deltas as they come, one `Finished` with the sum of all.

    Each run has `choices` of them; those of the second prompt follow those of the first, and so on.
    `at_once` runs are under way at a time, in order. The first error ends all.
    """
    news: News = asyncio.Queue(_MOST_WAITING)
    gate = asyncio.Semaphore(at_once)

    async def follow(at: int, run: Run) -> None:
        try:
            async with gate, aclosing(run()) as events:
                async for event in events:
                    await news.put(_moved(event, at * choices))
        except Exception as error:  # raised again by whoever reads the news
            await news.put(error)

    work = [asyncio.ensure_future(follow(at, run)) for at, run in enumerate(runs)]
    try:
        async with aclosing(_as_one(news, len(runs))) as events:
            async for event in events:
                yield event
    finally:
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def _as_one(news: News, prompts: int) -> AsyncGenerator[Event, None]:
    admitted, finished = False, list[Finished]()
    reason: FinishReason = "stop"
    while len(finished) < prompts:
        event = await news.get()
        if isinstance(event, Exception):
            raise event
        if isinstance(event, Finished):
            finished.append(event)
            continue
        if isinstance(event, ChoiceFinished) and event.choice == 0:
            reason = event.finish_reason
        if not (admitted and isinstance(event, Admitted)):
            yield event
        admitted = True
    yield _sum(reason, finished)


def _moved(event: Event, by: int) -> Event:
    """An event of one run, with its choice as it is counted among all."""
    if isinstance(event, Admitted | Finished) or not by:
        return event
    return replace(event, choice=event.choice + by)


def _sum(reason: FinishReason, finished: Sequence[Finished]) -> Finished:
    usages, timings = [each.usage for each in finished], [each.timings for each in finished]
    firsts = [each.ttft_ms for each in timings if each.ttft_ms is not None]
    usage = Usage(
        prompt_tokens=sum(each.prompt_tokens for each in usages),
        completion_tokens=sum(each.completion_tokens for each in usages),
        cached_tokens=sum(each.cached_tokens for each in usages),
        reasoning_tokens=sum(each.reasoning_tokens for each in usages),
    )
    queue, duration = min(t.queue_ms for t in timings), max(t.duration_ms for t in timings)
    return Finished(reason, usage, Timings(queue, min(firsts, default=None), duration))
