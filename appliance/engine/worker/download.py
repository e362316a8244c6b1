"""Brings one file here: resumed where it was cut off, whole or not at all. Knows no hub."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from appliance.engine.worker.failure import Progress
from appliance.engine.worker.listing import RemoteFile

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0
PARTIAL = ".partial"


class Stopped(Exception):
    """Another file has failed, so this one is no longer wanted."""


class Tally:
    """Bytes that are here of all files, told as stage `download`. Used from several threads."""

    def __init__(self, progress: Progress, total: int, *, done: int = 0) -> None:
        self._progress = progress
        self._total = total
        self._done = done
        self._stopped = False
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Whoever adds from now on is told to give up."""
        self._stopped = True

    def add(self, size: int) -> None:
        """Negative when bytes have to be fetched again. Raises Stopped."""
        with self._lock:
            if self._stopped:
                raise Stopped
            self._done += size
            self._progress("download", self._done, self._total)


def download(
    http: httpx2.Client,
    file: RemoteFile,
    target: Path,
    tally: Tally,
    check: Callable[[httpx2.Response], None],
) -> None:
    """Fetch `file` into `target`. What arrived before an interruption is kept and counted.

    `check` raises for a status that ends it all. Raises httpx2.HTTPError when `ATTEMPTS` in a row
    brought nothing new, and OSError when the disk refuses.
    """
    partial = target.with_name(target.name + PARTIAL)
    target.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.is_file() else 0
    if have > file.size:
        partial.unlink()
        have = 0
    tally.add(have)
    failures = 0
    while have < file.size or not partial.exists():
        before = have
        try:
            have = _more(http, file, partial, have, tally, check)
        except (httpx2.TransportError, httpx2.HTTPStatusError):
            have = partial.stat().st_size if partial.is_file() else 0
            failures = 0 if have > before else failures + 1
            if failures == ATTEMPTS:
                raise
            time.sleep(FIRST_PAUSE_SECONDS * 2**failures)
    partial.replace(target)


def _more(
    http: httpx2.Client,
    file: RemoteFile,
    partial: Path,
    have: int,
    tally: Tally,
    check: Callable[[httpx2.Response], None],
) -> int:
    """One request for what is missing. Returns the size that is on disk now."""
    # Compressed bytes would not be those that the range and the checksum count.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with http.stream("GET", file.url, headers=headers) as answer:
        if answer.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
            return _begin_again(partial, have, tally)
        check(answer)
        if have and answer.status_code != httpx2.codes.PARTIAL_CONTENT:
            have = _begin_again(partial, have, tally)
        with partial.open("ab") as disk:
            # As they come: larger pieces would be lost when the connection is.
            for piece in answer.iter_bytes():
                disk.write(piece)
                have += len(piece)
                tally.add(len(piece))
                if have > file.size:
                    break  # not the file that was listed, as its check will say
    if have < file.size:
        raise httpx2.RemoteProtocolError("the connection ended before the file did")
    return have


def _begin_again(partial: Path, have: int, tally: Tally) -> int:
    partial.unlink(missing_ok=True)
    tally.add(-have)
    return 0
