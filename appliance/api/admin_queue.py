"""`/admin/queue`: who holds a place at the engine, who waits, and about how long."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from appliance.gateway.queue import Queue


class Running(BaseModel):
    """An answer under way; `seconds` since it got its places."""

    request_id: str
    name: str
    places: int
    seconds: float


class Waiting(BaseModel):
    """A request in the line; `seconds_left` until its turn, about, once that can be told."""

    request_id: str
    name: str
    position: int
    places: int
    interactive: bool
    seconds: float
    seconds_left: float | None


class QueueState(BaseModel):
    """`limit` and `limit_per_key` bound how many may wait."""

    slots: int
    taken: int
    limit: int
    limit_per_key: int
    running: list[Running]
    waiting: list[Waiting]


def router(queue: Queue) -> APIRouter:
    routes = APIRouter(prefix="/queue")

    @routes.get("")
    async def show_queue() -> QueueState:
        """The places at the engine and the line before them, in the order of turns."""
        await queue.look()
        return QueueState(
            slots=queue.slots,
            taken=queue.running,
            limit=queue.bounds.limit,
            limit_per_key=queue.bounds.per_key,
            running=_running(queue),
            waiting=_waiting(queue),
        )

    return routes


def _running(queue: Queue) -> list[Running]:
    return [
        Running(
            request_id=held.turn.ticket,
            name=held.turn.name,
            places=held.places,
            seconds=round(queue.now() - held.since, 1),
        )
        for held in queue.held
    ]


def _waiting(queue: Queue) -> list[Waiting]:
    return [
        Waiting(
            request_id=turn.ticket,
            name=turn.name,
            position=place.position,
            places=turn.places,
            interactive=turn.interactive,
            seconds=round(queue.now() - turn.since, 1),
            seconds_left=None if place.seconds is None else round(place.seconds, 1),
        )
        for turn, place in queue.line()
    ]
