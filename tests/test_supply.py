"""What is pinned has no known hole, and nothing secret was committed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.live import ROOT, free_port
from tests.scripted_engine import serving

# Those that look for a secret's own form. Guessing by entropy or by a variable's name cries wolf.
DETECTORS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SlackDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)
OURS = ("a key of an appliance", re.compile(r"sk-appl-(?!(.)\1)[\w-]{43}"))
QUESTION = (
    "--vulnerability-service=osv",
    "--disable-pip",
    "--no-deps",
    "--format=json",
    "--progress-spinner=off",
)
NOT_AUDITED = (
    "NOT AUDITED: the advisory database api.osv.dev cannot be reached from here, so nothing is "
    "known about holes in the pinned packages. Where it can: launcher.py test tests/test_supply.py"
)
# What it ends with when nobody answered, was allowed to, or answered with sense.
OUT_OF_REACH = re.compile(r"(ConnectionError|ServiceError|ProxyError|Timeout|SSLError)\b")
SAMPLES = {"tests/ledger/test_masking.py": "made-up secrets of every form, which are to be masked"}


def committed() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)  # noqa: S607
    if listing.returncode != 0:
        pytest.skip("not a git checkout, so nothing says what was committed")
    return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def test_nothing_secret_was_committed() -> None:
    """The scanner's patterns over whole files; line by line, as its command does it, is slow."""
    known: dict[str, Any] = dict(get_mapping_from_secret_type_to_class())
    detectors = [kind() for kind in known.values() if kind.__name__ in DETECTORS]
    assert len(detectors) == len(DETECTORS)
    patterns = [(d.secret_type, one) for d in detectors for one in d.denylist]
    found = []
    for name in committed():
        text = (ROOT / name).read_text("utf-8", errors="replace")
        if name not in SAMPLES:
            found += [f"{name}: {kind}" for kind, one in [*patterns, OURS] if one.search(text)]
    assert found == []


def test_the_scanner_finds_what_it_is_there_for() -> None:
    text = (ROOT / next(iter(SAMPLES))).read_text("utf-8")
    known: dict[str, Any] = dict(get_mapping_from_secret_type_to_class())
    assert any(one.search(text) for one in known["Private Key"]().denylist)
    assert OURS[1].search("sk-appl-" + "aB3-_xY" * 6 + "Z")


@pytest.mark.network
@pytest.mark.timeout(180)
def test_no_pinned_package_has_a_known_hole() -> None:
    """Asks the OSV database. Where it cannot be reached nothing was audited: that is no success but
    a skip, which the summary tells with its reason. `AUDIT=required` makes it a failure."""
    holes = audit("constraints.txt", "--timeout=10")
    if holes is None and os.environ.get("AUDIT") != "required":
        pytest.skip(NOT_AUDITED)
    assert holes is not None, NOT_AUDITED
    assert holes == [], "raise their pins (docs/decisions/0003-pins.md), or take a newer release"


def test_a_known_hole_is_told_by_package_and_what_mends_it(tmp_path: Path) -> None:
    """The database is a scripted one, so that the way to the verdict is tested without it too."""
    pins = tmp_path / "pins.txt"
    pins.write_text("harmless==1.0\nleaky==2.0\n")
    with serving(Starlette(routes=[Route("/v1/query", osv, methods=["POST"])])) as url:
        assert audit(str(pins), f"--osv-url={url}/v1/query") == [
            "leaky 2.0: PYSEC-2026-1 (fixed in 2.1)"
        ]


def test_what_was_passed_over_is_told() -> None:
    """As a database says it that does not know a package at all: with exit status 0."""
    known = {"name": "harmless", "version": "1.0", "vulns": []}
    assert told([known, {"name": "leaky", "skip_reason": "not found"}]) == [
        "leaky: not audited (not found)"
    ]


def test_a_database_out_of_reach_is_no_verdict(tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("harmless==1.0\n")
    nobody = f"http://127.0.0.1:{free_port()}/v1/query"
    assert audit(str(pins), f"--osv-url={nobody}", "--timeout=1") is None


def audit(pins: str, *more: str) -> list[str] | None:
    """A line for each known hole; None when the database could not be asked."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip_audit", *QUESTION, f"--requirement={pins}", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    if not asked.stdout and OUT_OF_REACH.search(asked.stderr):
        return None
    assert asked.stdout, asked.stderr
    return told(json.loads(asked.stdout)["dependencies"])


def told(packages: list[dict[str, Any]]) -> list[str]:
    """A package that was passed over is no package without a hole, whatever the exit status."""
    passed_over = [
        f"{package['name']}: not audited ({package['skip_reason']})"
        for package in packages
        if "skip_reason" in package
    ]
    return passed_over + [
        f"{package['name']} {package['version']}: {hole['id']} "
        f"(fixed in {', '.join(hole['fix_versions']) or 'no version yet'})"
        for package in packages
        for hole in package.get("vulns", ())
    ]


async def osv(request: Request) -> JSONResponse:
    """As OSV answers (https://google.github.io/osv.dev/post-v1-query)."""
    name = (await request.json())["package"]["name"]
    if name != "leaky":
        return JSONResponse({})
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
    }
    hole = {"id": "PYSEC-2026-1", "details": "It leaks.", "affected": [affected]}
    return JSONResponse({"vulns": [hole]})
