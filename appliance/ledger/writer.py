"""The one thread that writes.

Work is queued from any thread and committed in groups, in the order it was queued. It knows
nothing of what the work does, only that work touches the session it is given and nothing
else: work that shared a group with something that failed is run once more, alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from appliance.ledger.database import Database, connection_lost
from appliance.ledger.losses import Losses
from appliance.ledger.trouble import unavailable

T = TypeVar("T")

MAX_GROUP = 256
# Rows that nobody waits for gather first: writing takes the processor, and Python's lock, from
# requests that are just being admitted, and many rows cost little more than one.
GATHER_SECONDS = 0.05
MAX_QUEUED = 20_000

logger = logging.getLogger(__name__)


class LedgerClosed(RuntimeError):
    """The writer takes no more work: the appliance is stopping."""


class LedgerOverrun(RuntimeError):
    """More work is waiting than `MAX_QUEUED`: the disk is far slower than the requests."""


class _Job(NamedTuple):
    work: Callable[[Session], Any]
    future: Future[Any] | None
    looked_for: bool = True


class Writer:
    """Owns all writes to `database`. `losses` is submitted work that could not be stored."""

    def __init__(self, database: Database) -> None:
        self.losses = Losses()
        self._database = database
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = Lock()
        self._looked_for = 0  # jobs that are queued or run, and that a reader has to wait for
        self._closed = False
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pieces of work that are queued, about."""
        return self._queue.qsize()

    def submit(self, work: Callable[[Session], object], *, looked_for: bool = True) -> None:
        """Queues `work` and returns at once. Never raises: serving outweighs recording.

        `looked_for`: false where no reader misses it yet, so that none waits for the disk.
        """
        try:
            self._enqueue(_Job(work, None, looked_for))
        except (LedgerClosed, LedgerOverrun) as error:
            self.losses.add(error)

    def schedule(self, work: Callable[[Session], T]) -> Future[T]:
        """Queues `work`; the future is done when it is committed or has failed."""
        future: Future[T] = Future()
        # Running from the start: a future that could be cancelled would trip the thread.
        future.set_running_or_notify_cancel()
        self._enqueue(_Job(work, future))
        return future

    async def execute(self, work: Callable[[Session], T]) -> T:
        """Waits until `work` is committed; returns its answer or raises what went wrong.

        Raises LedgerUnavailable for what the owner can mend, such as a full disk. Cancelling the
        caller does not undo the work.
        """
        try:
            return await asyncio.shield(asyncio.wrap_future(self.schedule(work)))
        except OperationalError as error:
            raise unavailable(error) from error

    async def drained(self) -> None:
        """Waits until everything queued so far that is looked for is committed or lost."""
        if not self._looked_for:
            return
        try:
            await self.execute(_nothing)
        except Exception:
            # Reading must stay possible when writing is not.
            logger.debug("The ledger cannot write now", exc_info=True)

    def close(self, timeout: float = 10.0) -> None:
        """Commits what is queued and ends the thread; gives up after `timeout` seconds."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.error("The ledger could not be closed within %s s; rows are lost", timeout)

    def _enqueue(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise LedgerClosed("the ledger is closed")
            if self._queue.qsize() >= MAX_QUEUED:
                raise LedgerOverrun(f"{MAX_QUEUED} writes are already waiting")
            self._looked_for += job.looked_for
            self._queue.put(job)

    def _run(self) -> None:
        while True:
            jobs, last = self._next_group()
            if jobs:
                self._commit(jobs)
            if last:
                return

    def _next_group(self) -> tuple[list[_Job], bool]:
        """What is to be written together, and whether that was the last."""
        jobs: list[_Job] = []
        job = self._queue.get()
        begins = time.monotonic() + GATHER_SECONDS
        while job is not None:
            jobs.append(job)
            if len(jobs) == MAX_GROUP:
                return jobs, False
            if job.future is not None:
                begins = 0.0
            try:
                job = self._queue.get(timeout=max(0.0, begins - time.monotonic()))
            except Empty:
                return jobs, False
        return jobs, True

    def _commit(self, jobs: list[_Job], *, again: bool = False) -> None:
        if all(job.work is _nothing for job in jobs):
            self._succeed(jobs, [None] * len(jobs))
            return
        try:
            session = self._begin(again=again)
        except Exception as error:
            self._fail(jobs, error)
            return
        try:
            answers = _written(session, jobs)
        except Exception as error:
            failure = error
        else:
            self._succeed(jobs, answers)
            return
        if len(jobs) == 1 and (again or not connection_lost(failure)):
            self._fail(jobs, failure)
            return
        # A server that was restarted has cut the connection, and what was written is undone.
        # Savepoints would not do: SQLite undoes the whole transaction when the disk is full,
        # so the innocent have to be run again in any case.
        for job in jobs:
            self._commit([job], again=again or len(jobs) == 1)

    def _begin(self, *, again: bool) -> Session:
        try:
            return self._database.begin_writing()
        except Exception as error:
            if again or not connection_lost(error):
                raise
            return self._database.begin_writing()

    def _settle(self, jobs: list[_Job]) -> None:
        with self._lock:
            self._looked_for -= sum(job.looked_for for job in jobs)

    def _succeed(self, jobs: list[_Job], answers: list[Any]) -> None:
        self._settle(jobs)
        if any(job.future is None for job in jobs):
            self.losses.end()
        for job, answer in zip(jobs, answers, strict=True):
            if job.future is not None:
                job.future.set_result(answer)

    def _fail(self, jobs: list[_Job], error: Exception) -> None:
        self._settle(jobs)
        for job in jobs:
            if job.future is not None:
                job.future.set_exception(error)
            else:
                self.losses.add(error)


def _written(session: Session, jobs: list[_Job]) -> list[Any]:
    """The answers of all, committed together; nothing is written when it raises."""
    with session:
        try:
            answers = [job.work(session) for job in jobs]
            session.commit()
        except BaseException:
            # Closing alone would leave new rows marked as stored when it is the commit that
            # failed, and the next try would not insert them.
            session.rollback()
            raise
    return answers


def _nothing(_session: Session) -> None:
    """The work of `drained`: its place in the queue is the point."""
