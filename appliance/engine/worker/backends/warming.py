"""What a model is asked before anybody else asks it: whether it works, and how much it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from appliance.engine.worker.backends.controls import Controls
from appliance.engine.worker.backends.decode.trial import last_logits
from appliance.engine.worker.sampling import NEUTRAL, TokenSampling

_PLAIN = replace(NEUTRAL, seed=0)
# As most answers are drawn, and more is told of them than most ask for.
_CHAT = replace(_PLAIN, temperature=0.6, top_p=0.95, top_k=20)
_TOP_LOGPROBS = 20
_TOKENS = 8


def try_out(manager: Any, model: Any) -> torch.Tensor:
    """A prompt, which every way reads alike, and two tokens; the logits of the second."""
    with last_logits(model) as seen:
        _ask(manager, [[0, 0]], 2, _PLAIN)
    return seen[0]


def take_the_largest_steps(manager: Any, piece: int, places: int) -> None:
    """One that reads `piece` tokens of a prompt, and some with an answer in each of the places."""
    _ask(manager, [[0] * piece], 2, _PLAIN)
    _ask(manager, [[0, place] for place in range(places)], _TOKENS, _CHAT, _TOP_LOGPROBS)


def _ask(
    manager: Any,
    prompts: Sequence[list[int]],
    tokens: int,
    sampling: TokenSampling,
    top_logprobs: int | None = None,
) -> None:
    """All at once, and until the last has ended. Raises what the library's loop died of."""
    for prompt in prompts:
        controls = Controls(sampling=sampling, top_logprobs=top_logprobs)
        manager.add_request(prompt, max_new_tokens=tokens, streaming=False, controls=controls)
    for _ in prompts:
        output = None
        while output is None:
            output = manager.get_result(timeout=0.5)
            if output is None and not manager.is_running():
                raise manager.background_thread_status.fatal_error
        if output.error is not None:
            raise RuntimeError(output.error)
