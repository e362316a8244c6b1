"""Fetches a model from a hub: with progress, resumed where it was cut off, and checked.

A model lies in `<cache>/models/<owner>--<name>[@revision]` as on the hub, beside the list of its
files. One that is complete by that list is used without asking the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx2

from appliance.engine.config import ModelSource
from appliance.engine.hubs import Hub, hub_of
from appliance.engine.worker.download import Tally, download
from appliance.engine.worker.failure import LoadFailure, Progress
from appliance.engine.worker.listing import (
    RemoteFile,
    credentials,
    list_files,
    missing,
    refuse,
)
from appliance.engine.worker.repository import Repository
from appliance.errors import SetupError

CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
_FILES_AT_ONCE = 4


def fetch(source: ModelSource, cache_dir: Path, endpoint: str | None, progress: Progress) -> Path:
    """A folder with the repository's files, or one file when the location names one
    (`owner/name/file.gguf`).

    Raises LoadFailure: `hub_unreachable`, `model_missing`, `model_gated`, `model_corrupt`, or
    `load_failed` when the disk is full.
    """
    try:
        hub = hub_of(endpoint)
    except SetupError as error:
        raise LoadFailure("hub_unreachable", str(error)) from error
    model, file = _split(source.location, hub)
    name = model.replace("/", "--") + (f"@{source.revision}" if source.revision else "")
    folder = cache_dir / "models" / name.replace("/", "--")
    repository = Repository(folder, file, cache_dir, progress)
    files = repository.remembered()
    if files is None or repository.unfinished(files):
        try:
            _bring(hub, model, source.revision, repository)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LoadFailure("hub_unreachable", _unreachable(hub, model, error)) from error
    return repository.path


def _split(location: str, hub: Hub) -> tuple[str, str | None]:
    """`owner/name`, and the file when more follows."""
    owner, _, rest = location.partition("/")
    name, _, file = rest.partition("/")
    if any(not part.strip(".") or not part.isprintable() or " " in part for part in (owner, name)):
        raise missing(hub, location)
    return f"{owner}/{name}", file or None


def _bring(hub: Hub, model: str, revision: str | None, repository: Repository) -> None:
    """Everything that is wanted, on disk and checked."""
    timeout = httpx2.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS)
    with httpx2.Client(headers=credentials(hub), timeout=timeout, follow_redirects=True) as http:
        listed = list_files(http, hub, model, revision)
        files = [file for file in listed if repository.wants(file.path)]
        if not files:
            raise missing(hub, f"{model}/{repository.only or '*.safetensors'}")
        repository.remember(files)
        check = partial(refuse, hub=hub, model=model)
        for _ in range(2):
            unfinished = repository.unfinished(files)
            if not unfinished:
                return
            repository.need_room(unfinished, model)
            whole, left = (sum(one.size for one in some) for some in (files, unfinished))
            tally = Tally(repository.progress, whole, done=whole - left)
            orders = [
                partial(download, http, one, repository.folder / one.path, tally, check)
                for one in unfinished
            ]
            _all_at_once(orders, tally)
    _still_whole(repository, files, model)


def _all_at_once(orders: Sequence[partial[None]], tally: Tally) -> None:
    """The first failure ends the others as well."""
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        running = [pool.submit(order) for order in orders]
        try:
            for one in running:
                one.result()
        except BaseException:
            tally.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _still_whole(repository: Repository, files: Sequence[RemoteFile], model: str) -> None:
    if damaged := repository.unfinished(files):
        raise LoadFailure(
            "model_corrupt",
            f"{damaged[0].path} of {model} arrived damaged twice. Try again later, or use "
            "another hub with --hub-endpoint.",
        )


def _unreachable(hub: Hub, model: str, error: Exception) -> str:
    """What happened, and what else may work from where the owner is."""
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"{model} could not be fetched from {hub.host} ({detail}). What has arrived is kept. "
        "Check the network connection. In mainland China start with --hub-endpoint modelscope or "
        "--hub-endpoint https://hf-mirror.com. Or choose a model that is on this machine."
    )
