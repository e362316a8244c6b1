"""The commands, run as their user runs them."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.cli import main, whole_numbers
from appliance.errors import SetupError
from appliance.key_flags import lifetime
from tests.live import ROOT, Appliance


def run(*words: str, ok: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert (done.returncode == 0) is ok, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if ok else done.stderr


def test_keys_are_made_listed_and_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: a dozen commands would spend their time on starting."""

    def run(*words: str, ok: bool = True) -> str:
        monkeypatch.setattr("sys.argv", ["launcher.py", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert (end.value.code == 0) is ok
        told = capsys.readouterr()
        return told.out if ok else told.err

    place = ("--data-dir", str(tmp_path))
    made = run("keys", "create", "anna", "--expires", "30d", "--rate", "60/minute", *place)
    (secret,) = re.findall(r"sk-appl-\S{43}", made)
    listed = run(*place, "keys", "list")
    assert "anna" in listed
    assert "60/minute" in listed
    assert secret not in listed
    assert secret.encode() not in (tmp_path / "appliance.db").read_bytes()
    assert "already" in run("keys", "create", "anna", *place, ok=False)
    limits = ("--parallel", "2", "--scope", "history", "--record", "metadata")
    changed = run("keys", "change", "anna", "--without", "rate", *limits, *place)
    assert "60/minute" not in changed
    assert re.search(r"scopes +history\n(.*\n)*parallel +2\n(.*\n)*record +metadata", changed)
    assert "parallel was 0" in run("keys", "change", "anna", "--parallel", "0", *place, ok=False)
    assert "no limit 'rat'" in run("keys", "change", "anna", "--without", "rat", *place, ok=False)
    renewed = run("keys", "rotate", "anna", "--grace", "24h", *place)
    assert "sk-appl-" in renewed
    assert "works until" in renewed
    assert "0 requests" in run("keys", "show", "anna", *place)
    run("keys", "revoke", "anna", *place)
    assert "revoked" in run("keys", "list", *place)
    assert "no key" in run("keys", "revoke", "nobody", *place, ok=False)


def test_a_key_made_beside_the_running_appliance_opens_it(live: Appliance) -> None:
    made = run("keys", "create", "beside", "--data-dir", str(live.data_dir))
    (secret,) = re.findall(r"sk-appl-\S{43}", made)
    answer = run("bench", "--url", live.url, "--key", secret, "--concurrency", "2", "--json")
    levels = json.loads(answer)["levels"]
    assert [level["concurrency"] for level in levels] == [2]


def test_plan_explains_itself_and_speaks_json(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path))
    assert "Why, on this machine" in run("plan", *place)
    machines = json.loads(run("plan", "--json", *place))
    assert {"hardware"} < set(machines)


def test_backup_while_it_runs(live: Appliance, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    run("backup", str(target), "--data-dir", str(live.data_dir))
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
    assert "not overwritten" in run(
        "backup", str(target), "--data-dir", str(live.data_dir), ok=False
    )


@pytest.mark.parametrize("words", [("--port", "0"), ("--rate-limit", "x"), ("--no-such-flag",)])
def test_a_wrong_flag_is_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = run("serve", "--data-dir", str(tmp_path), *words, ok=False)
    assert words[0].lstrip("-").replace("-", "_") in said.replace("-", "_")


@pytest.mark.parametrize(
    ("text", "meant"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("45m", timedelta(minutes=45))],
)
def test_lifetimes(text: str, meant: timedelta) -> None:
    assert lifetime(text) == meant


@pytest.mark.parametrize("text", ["", "d", "3w", "0d", "-1d", "1.5h", "999999999999d"])
def test_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(SetupError):
        lifetime(text)


@pytest.mark.parametrize("text", ["", "1,,2", "0", "1,x", "-1"])
def test_what_are_no_whole_numbers(text: str) -> None:
    with pytest.raises(SetupError):
        whole_numbers(text)
