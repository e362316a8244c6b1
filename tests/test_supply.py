"""What is pinned has no known hole, and nothing secret was committed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

from tests.live import ROOT

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
    "--requirement=constraints.txt",
    "--format=json",
    "--timeout=10",
)
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
    """Asks the OSV database. Where it cannot be reached, that is said and the suite goes on."""
    audit = subprocess.run(
        [sys.executable, "-m", "pip_audit", *QUESTION],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    if "ConnectionError" in audit.stderr or "ConnectTimeout" in audit.stderr:
        pytest.skip("the advisory database cannot be reached; nothing was audited")
    assert audit.stdout, audit.stderr
    holes = [
        f"{package['name']} {package['version']}: {hole['id']} (fixed in {hole['fix_versions']})"
        for package in json.loads(audit.stdout)["dependencies"]
        for hole in package.get("vulns", ())
    ]
    assert holes == []
