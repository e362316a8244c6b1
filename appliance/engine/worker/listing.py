"""What files a hub has of a model, with size and checksum each. Fetches lists, no weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import httpx2

from appliance.engine.hubs import Hub
from appliance.engine.worker.failure import LoadFailure


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """`size` in bytes. `sha256` is None for small files whose hub gives another checksum."""

    path: str
    size: int
    sha256: str | None
    url: str


def list_files(http: httpx2.Client, hub: Hub, model: str, revision: str | None) -> list[RemoteFile]:
    """Raises LoadFailure `model_missing` or `model_gated`, or httpx2.HTTPError."""
    if hub.kind == "modelscope":
        answer = _asked(http, hub, model, hub.listing_url(model, revision))
        entries = (answer.get("Data") or {}).get("Files") or []
        files = [_modelscope(hub, model, revision, one) for one in entries]
    else:
        url = f"{hub.url}/api/models/{model}/revision/{revision or 'main'}?blobs=true"
        answer = _asked(http, hub, model, url)
        commit = answer.get("sha") or revision
        files = [_hugging_face(hub, model, commit, one) for one in answer.get("siblings", [])]
    found = [file for file in files if file is not None]
    if not found:
        raise missing(hub, model)
    return found


def _asked(http: httpx2.Client, hub: Hub, model: str, url: str) -> dict[str, Any]:
    answer = http.get(url)
    refuse(answer, hub, model)
    try:
        values = answer.json()
    except ValueError as error:
        raise httpx2.DecodingError(f"{url} is not JSON") from error
    if not isinstance(values, dict):
        raise httpx2.DecodingError(f"{url} is not a list of files")
    return values


def refuse(answer: httpx2.Response, hub: Hub, model: str) -> None:
    """Turn a status that another attempt would not change into LoadFailure, others into
    httpx2.HTTPStatusError."""
    code = answer.headers.get("X-Error-Code", "")
    if code == "GatedRepo" or answer.status_code == 403:
        raise LoadFailure(
            "model_gated",
            f"{hub.host} gives {model} only to those who have accepted its licence: do so on its "
            "page, then start the appliance with your access token in HF_TOKEN.",
        )
    # Hugging Face does not tell strangers whether a private model exists.
    if answer.status_code in (401, 404):
        raise missing(hub, model)
    answer.raise_for_status()


def missing(hub: Hub, model: str) -> LoadFailure:
    return LoadFailure(
        "model_missing", f"{hub.host} has no model {model}, or does not give it to everyone."
    )


def credentials(hub: Hub) -> dict[str, str]:
    """Headers for this hub alone: redirects to other hosts do not carry them."""
    token = os.environ.get("HF_TOKEN") if hub.kind == "huggingface" else None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _hugging_face(
    hub: Hub, model: str, commit: str | None, entry: dict[str, Any]
) -> RemoteFile | None:
    path = str(entry.get("rfilename", ""))
    large = entry.get("lfs") or {}
    size = large.get("size", entry.get("size"))
    if not _harmless(path) or not isinstance(size, int):
        return None
    return RemoteFile(path, size, large.get("sha256"), hub.file_url(model, path, commit))


def _modelscope(
    hub: Hub, model: str, revision: str | None, entry: dict[str, Any]
) -> RemoteFile | None:
    path, size = str(entry.get("Path", "")), entry.get("Size")
    if entry.get("Type") == "tree" or not _harmless(path) or not isinstance(size, int):
        return None
    checksum = entry.get("Sha256") or None
    return RemoteFile(path, size, checksum, hub.file_url(model, path, revision))


def _harmless(path: str) -> bool:
    """A hub must not choose where on this machine it writes."""
    parts = path.replace("\\", "/").split("/")
    return bool(path) and not any(part in ("", ".", "..") or ":" in part for part in parts)
