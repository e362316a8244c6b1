"""Whether another site's page made the browser send a request. Knows no keys and no callers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_sent_by_another_site(method: str, headers: Mapping[str, str]) -> bool:
    """True for a state-changing request that did not surely come from a page of ours.

    Browsers always send Sec-Fetch-Site (on secure origins and localhost) or, on a POST, Origin,
    and a page cannot forge either. A request with neither does not come from a page: it is a
    program's. `headers` are found by their names in lower case.
    """
    if method in SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    host = headers.get("host", "").lower()
    return origin is not None and parts_of(origin).netloc.lower() != host


def parts_of(address: str) -> SplitResult:
    """The parts of what somebody sent as an address; none of what is none, such as `http://[`."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
