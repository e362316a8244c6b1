"""What a running vLLM server is asked: is it well, and what has it become."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

ANSWER_SECONDS = 10.0


def is_well(port: int) -> bool:
    """True when `/health` says so."""
    return ask(port, "/health") is not None


def ask(port: int, path: str, key: str = "") -> str | None:
    """The body of a good answer on the loopback; None for any other, and for none at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == 200 else None


def facts(port: int, key: str, ordered: dict[str, Any]) -> dict[str, Any]:
    """What was ordered, corrected by what the server says of itself."""
    found = {
        "engine_version": version_in(ask(port, "/version") or ""),
        "context_length": context_in(ask(port, "/v1/models", key) or "", ordered["model"]),
        "kv_tokens": kv_tokens_in(ask(port, "/metrics") or ""),
    }
    return ordered | {name: value for name, value in found.items() if value}


def version_in(body: str) -> str | None:
    try:
        return str(json.loads(body)["version"])
    except (ValueError, KeyError, TypeError):
        return None


def context_in(body: str, model: str) -> int | None:
    """`max_model_len` of the served model."""
    try:
        entries = {entry["id"]: entry for entry in json.loads(body)["data"]}
        return int(entries[model]["max_model_len"])
    except (ValueError, KeyError, TypeError):
        return None


def kv_tokens_in(metrics: str) -> int | None:
    """Blocks times their size, from the labels of one gauge."""
    line = next((one for one in metrics.splitlines() if "cache_config_info{" in one), "")
    labels = dict(re.findall(r'(\w+)="(\d+)"', line))
    if not {"num_gpu_blocks", "block_size"} <= labels.keys():
        return None
    return int(labels["num_gpu_blocks"]) * int(labels["block_size"])
