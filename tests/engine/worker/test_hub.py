"""Fetching from a hub: a small server that speaks both hubs' protocols, well and badly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.engine.config import ModelSource
from appliance.engine.worker import download, hub
from appliance.engine.worker.events import Speedometer
from appliance.engine.worker.failure import LoadFailure
from appliance.engine.worker.hub import fetch
from appliance.engine.worker.listing import list_files
from tests.engine.worker.scripted_hub import (
    FILES,
    GATED,
    REPOSITORY,
    WANTED_BYTES,
    Script,
    scripted_hub,
)

Steps = list[tuple[str, int, int]]
WEIGHTS = "model.safetensors"
SIZE = len(FILES[WEIGHTS])


class Fetcher:
    """One computer that fetches from the scripted hub."""

    def __init__(self, url: str, script: Script, cache: Path) -> None:
        self.url, self.script, self.cache = url, script, cache
        self.endpoint = url

    def get(self, location: str = REPOSITORY) -> tuple[Path, Steps]:
        steps: Steps = []
        source = ModelSource("hub", location)
        path = fetch(source, self.cache, self.endpoint, lambda *step: steps.append(step))
        return path, steps

    def refused(self, location: str = REPOSITORY) -> LoadFailure:
        with pytest.raises(LoadFailure) as caught:
            self.get(location)
        return caught.value


@pytest.fixture(params=["huggingface", "modelscope"])
def fetcher(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fetcher]:
    monkeypatch.setattr(download, "FIRST_PAUSE_SECONDS", 0.0)
    with scripted_hub() as (url, script):
        made = Fetcher(url, script, tmp_path)
        if request.param == "modelscope":
            monkeypatch.setattr("appliance.engine.hubs.MODELSCOPE", url)
            made.endpoint = "modelscope"
        yield made


def test_fetches_what_is_needed_and_tells_how_far_it_is(fetcher: Fetcher) -> None:
    folder, steps = fetcher.get()
    names = {file.name for file in folder.iterdir()}
    assert names == {"config.json", WEIGHTS, ".files.json"}
    assert (folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert ("download", WANTED_BYTES, WANTED_BYTES) in steps
    assert ("verify", SIZE, SIZE) in steps


def test_a_complete_model_needs_no_hub(fetcher: Fetcher) -> None:
    folder, _ = fetcher.get()
    fetcher.script.log.clear()
    assert fetcher.get() == (folder, [])
    assert fetcher.script.log == []


def test_an_interrupted_file_goes_on_where_it_stopped(fetcher: Fetcher) -> None:
    fetcher.script.cuts = [300_000, 0, 200_000]
    folder, steps = fetcher.get()
    assert (folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert fetcher.script.asked_for(WEIGHTS) == [
        "all",
        "bytes=300000-",
        "bytes=300000-",
        "bytes=500000-",
    ]
    told = [done for stage, done, _ in steps if stage == "download"]
    assert told == sorted(told)


def test_the_next_start_goes_on_where_the_last_one_gave_up(fetcher: Fetcher) -> None:
    fetcher.script.cuts = [400_000, *[0] * download.ATTEMPTS]
    assert fetcher.refused().code == "hub_unreachable"
    fetcher.script.log.clear()
    fetcher.script.cuts.clear()
    folder, steps = fetcher.get()
    assert (folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert fetcher.script.asked_for(WEIGHTS) == ["bytes=400000-"]
    assert min(done for stage, done, _ in steps if stage == "download") >= 400_000


def test_a_hub_that_knows_no_ranges_is_asked_for_the_whole_again(fetcher: Fetcher) -> None:
    fetcher.script.cuts, fetcher.script.with_ranges = [300_000], False
    folder, steps = fetcher.get()
    assert (folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert ("download", WANTED_BYTES, WANTED_BYTES) in steps


def test_a_hub_that_is_busy_for_a_moment_is_asked_again(fetcher: Fetcher) -> None:
    fetcher.script.refusals = [503, 429, 502]
    assert (fetcher.get()[0] / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_a_hub_that_falls_silent_is_given_up(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    fetcher.script.stalls, fetcher.script.cuts = True, [100_000, 0, 0, 0]
    assert fetcher.refused().code == "hub_unreachable"
    assert fetcher.script.asked_for(WEIGHTS)[1:] == ["bytes=100000-"] * 2


def test_a_damaged_file_is_fetched_again(fetcher: Fetcher) -> None:
    folder, _ = fetcher.get()
    (folder / WEIGHTS).write_bytes(b"wrong " * 100_000)
    assert (fetcher.get()[0] / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    (folder / WEIGHTS).write_bytes(FILES[WEIGHTS][::-1])
    fetcher.script.log.clear()
    assert (fetcher.get()[0] / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert fetcher.script.log == ["list", f"{WEIGHTS} all"]


@pytest.mark.parametrize("served", [FILES[WEIGHTS][::-1], FILES[WEIGHTS] + b"more"])
def test_a_file_that_always_arrives_damaged_is_called_corrupt(
    fetcher: Fetcher, served: bytes
) -> None:
    fetcher.script.files[WEIGHTS] = served
    failure = fetcher.refused()
    assert failure.code == "model_corrupt"
    assert WEIGHTS in str(failure)
    assert fetcher.script.asked_for(WEIGHTS) == ["all", "all"]


def test_what_the_hub_does_not_have_is_missing(fetcher: Fetcher) -> None:
    for location in ("someone/else", "no id at all", "../..", f"{REPOSITORY}/absent.gguf"):
        failure = fetcher.refused(location)
        assert failure.code == "model_missing", location


def test_a_model_with_a_licence_to_accept_says_so(fetcher: Fetcher) -> None:
    failure = fetcher.refused(GATED)
    assert failure.code == "model_gated"
    assert "accepted its licence" in str(failure)
    assert "HF_TOKEN" in str(failure)


def test_a_refusal_of_one_file_ends_the_others(fetcher: Fetcher) -> None:
    fetcher.script.refusals = [404]
    assert fetcher.refused().code == "model_missing"


def test_one_file_of_a_repository(fetcher: Fetcher) -> None:
    path, _ = fetcher.get(f"{REPOSITORY}/notes.md")
    assert path.read_bytes() == FILES["notes.md"]
    assert WEIGHTS in {file.name for file in fetcher.get()[0].iterdir()}


def test_a_full_disk_is_said_before_it_is_full(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10**6, used=10**6 - 1000, free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    failure = fetcher.refused()
    assert "on the disk" in str(failure)
    assert fetcher.script.asked_for(WEIGHTS) == []


def test_a_hub_out_of_reach_names_the_setting_that_helps(tmp_path: Path) -> None:
    source = ModelSource("hub", REPOSITORY)
    with pytest.raises(LoadFailure) as caught:
        fetch(source, tmp_path, "http://127.0.0.1:1", lambda *_: None)
    assert caught.value.code == "hub_unreachable"
    assert "In mainland China start with --hub-endpoint modelscope" in str(caught.value)


def test_a_setting_that_is_no_hub_is_explained(tmp_path: Path) -> None:
    with pytest.raises(LoadFailure, match="is not an address"):
        fetch(ModelSource("hub", REPOSITORY), tmp_path, "mirror", lambda *_: None)


@pytest.mark.parametrize("path", ["../../x.json", "/etc/x.json", "C:\\x.json", "a/./b.json", ""])
def test_a_hub_does_not_choose_where_it_writes(path: str) -> None:
    import httpx2

    from appliance.engine.hubs import hub_of

    listing = {"siblings": [{"rfilename": path, "size": 1}, {"rfilename": "ok.json", "size": 1}]}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=listing))
    with httpx2.Client(transport=transport) as http:
        files = list_files(http, hub_of("http://hub"), REPOSITORY, None)
    assert [file.path for file in files] == ["ok.json"]


def test_speed_is_that_of_the_last_seconds() -> None:
    now = iter([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    meter = Speedometer(lambda: next(now))
    assert meter.speed(1_000) is None
    assert [meter.speed(done) for done in (1_500, 2_000, 2_000, 2_010)] == [500, 500, 0, 1]
    assert meter.speed(5) is None
