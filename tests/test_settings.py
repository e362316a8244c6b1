from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.errors import SetupError
from appliance.settings import load_settings


def test_flag_wins_over_variable_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_text('port = 1001\nqueue_limit = 5\nlanguage = "zh"\n')
    environ = {"APPLIANCE_PORT": "1002", "APPLIANCE_QUEUE_LIMIT": "6", "UNRELATED": "1"}
    settings = load_settings({"data_dir": tmp_path, "port": 1003, "host": None}, environ)
    assert (settings.port, settings.queue_limit, settings.language) == (1003, 6, "zh")
    assert settings.host == "127.0.0.1"


def test_the_file_is_looked_for_where_the_variable_says(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_text("lan = true\n")
    settings = load_settings({}, {"APPLIANCE_DATA_DIR": str(tmp_path)})
    assert settings.bind_host == "0.0.0.0"  # noqa: S104
    assert settings.effective_database_url.endswith("/appliance.db")


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgresql://appliance:hidden@db/appliance\n")
    environ = {"APPLIANCE_DATABASE_URL_FILE": str(secret), "APPLIANCE_DATA_DIR": str(tmp_path)}
    assert load_settings({}, environ).database_url == "postgresql://appliance:hidden@db/appliance"
    environ["APPLIANCE_DATABASE_URL"] = "sqlite:////elsewhere.db"
    assert load_settings({}, environ).database_url == "sqlite:////elsewhere.db"
    secret.unlink()
    with pytest.raises(SetupError, match=r"APPLIANCE_DATABASE_URL_FILE names .*secret.*No such"):
        load_settings({}, environ)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"port": 0}, r"'port' is 0.*greater than or equal to 1"),
    ({"rate_limit": "often"}, r"'rate_limit' is 'often'.*60/minute"),
    ({"trusted_proxies": "10.0.0.0/99"}, r"'trusted_proxies'"),
    ({"precision": "int3"}, r"'precision' is 'int3'.*'16bit', 'int8', 'nf4', 'fp8' or 'awq'"),
    ({"context_length": 5}, r"'context_length' is 5"),
    ({"workers": 2}, r"'workers' is 2.*through Redis; give redis_url too"),
]


def test_windows_has_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = {"data_dir": tmp_path, "workers": 2, "redis_url": "redis://localhost"}
    assert load_settings(several, {}).workers == 2
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(SetupError, match="on Windows several processes cannot listen"):
        load_settings(several, {})


@pytest.mark.parametrize(("flags", "sentence"), WRONG)
def test_what_makes_no_sense_is_named_with_what_is_allowed(
    tmp_path: Path, flags: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SetupError, match=sentence):
        load_settings({"data_dir": tmp_path, **flags}, {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("prot = 1\n", "no setting 'prot'"), ("port =\n", r"cannot be read: .*line 1")],
)
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "appliance.toml").write_text(text)
    with pytest.raises(SetupError, match=sentence):
        load_settings({"data_dir": tmp_path}, {})


@pytest.mark.parametrize(
    "value", ["poet=a, cook=b", ["poet=a", "cook=b"]], ids=["commas", "list of the file"]
)
def test_adapters_are_named_folders(tmp_path: Path, value: object) -> None:
    settings = load_settings({"data_dir": tmp_path, "adapter": value}, {})
    assert [one.name for one in settings.adapters] == ["poet", "cook"]
    assert all(Path(one.folder).is_absolute() for one in settings.adapters)


@pytest.mark.parametrize("value", ["poet", "=folder", "poet=", "poet=a,poet=b"])
def test_what_is_no_adapter(tmp_path: Path, value: str) -> None:
    with pytest.raises(SetupError, match="adapter"):
        load_settings({"data_dir": tmp_path, "adapter": value}, {})
