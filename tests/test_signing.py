"""Secrets of sessions: renewed unnoticed, replaced at a stroke, readable by the owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from appliance.signing import DAY_SECONDS, SigningSecrets


def test_they_outlive_a_restart_and_are_the_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "session.secret"
    first = SigningSecrets(file)()
    assert len(first[0]) >= 40
    assert SigningSecrets(file)() == first
    assert [path.name for path in tmp_path.iterdir()] == ["session.secret"]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_one_signs_every_month_and_the_old_is_believed_as_long_as_sessions_live(
    tmp_path: Path,
) -> None:
    day = 0
    secrets = SigningSecrets(tmp_path / "session.secret", now=lambda: day * DAY_SECONDS)
    (first,) = secrets()
    day = 30
    assert secrets() == [first]
    day = 31
    assert secrets()[0] == first
    assert len(secrets()) == 2
    day = 60  # a cookie that the first one signed on day 30 ends now
    assert first in secrets()
    day = 62
    assert first not in secrets()


def test_replacing_them_ends_every_session(tmp_path: Path) -> None:
    file = tmp_path / "session.secret"
    secrets = SigningSecrets(file)
    before = secrets()
    secrets.replace()
    assert set(before).isdisjoint(secrets())
    assert SigningSecrets(file)() == secrets()


def test_the_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "session.secret"
    file.write_text("an-old-secret")
    assert SigningSecrets(file)() == ["an-old-secret"]
