"""The worker, except that its library dies in the third step after `FAULT` was touched:

    FAULT=/path/of/a/file KIND=card python -m tests.engine.worker.dying_worker

A card that fails is not to be had everywhere. What it raises is; everything around it is real.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.engine.worker import process

STEPS_BEFORE = 2


def of_a_card() -> Exception:
    """Every later call on the device would fail with the same words."""
    import torch

    words = "CUDA error: an illegal memory access was encountered"
    error: Exception = torch.AcceleratorError(words, 700)
    return error


def of_its_memory() -> Exception:
    import torch

    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return error


def of_the_library() -> Exception:
    return RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223")


KINDS = {"card": of_a_card, "memory": of_its_memory, "library": of_the_library}


def dying(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step`, until the fault is there; whoever dies of it takes it away."""
    fault, seen = Path(os.environ["FAULT"]), 0

    def run(*args: Any, **options: Any) -> Any:
        nonlocal seen
        if fault.exists():
            seen += 1
        if seen > STEPS_BEFORE:
            fault.unlink(missing_ok=True)
            raise KINDS[os.environ["KIND"]]()
        return step(*args, **options)

    return run


def main() -> None:
    from appliance.engine.worker.backends.openvino_requests import Requests

    if os.environ["KIND"] == "library":
        Requests.step = dying(Requests.step)  # type: ignore[method-assign]
    else:
        from appliance.engine.worker.backends import sampler

        sampler.mark_choices = dying(sampler.mark_choices)
    process.main()


if __name__ == "__main__":
    main()
