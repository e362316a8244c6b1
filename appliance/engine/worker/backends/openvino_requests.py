"""The requests inside OpenVINO GenAI's pipeline, from a waiting prompt to the last token.

It knows no event loop: one thread calls everything here, and carries the news away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai

from appliance.engine.worker.backends.base import Ask, TokenStream
from appliance.engine.worker.backends.openvino_pipeline import (
    KV_BLOCK_TOKENS,
    TOKENS_PER_STEP,
    OpenedModel,
    generation_config,
    piece_config,
    seeded,
)
from appliance.engine.worker.backends.openvino_prefill import (
    Prefill,
    PrefillLane,
    Turn,
)
from appliance.engine.worker.backends.openvino_running import Running
from appliance.engine.worker.backends.pace import News
from appliance.engine.worker.backends.step_budget import STEP_SECONDS, StepBudget
from appliance.engine.worker.prefix_index import PrefixIndex
from appliance.engine.worker.sampling import TokenSampling

_WARM_UP_TOKENS = 40
# How long a form that may not begin yet holds up a pipeline that has nothing else to do.
_FORM_WAIT_SECONDS = 0.05


class Requests:
    """True while there is something to do."""

    def __init__(self, model: OpenedModel, end_tokens: set[int]) -> None:
        self._pipeline = model.pipeline
        self._forms = model.forms
        self._form_lock = model.forms.lock if model.forms else threading.Lock()
        self._end_tokens = end_tokens
        self._ids = 0
        self._index = PrefixIndex(KV_BLOCK_TOKENS, model.kv_blocks)
        self._lane: PrefillLane[TokenStream] = PrefillLane(self._index, KV_BLOCK_TOKENS)
        self._budget = StepBudget(
            block_tokens=KV_BLOCK_TOKENS,
            first=2 * KV_BLOCK_TOKENS,
            largest=TOKENS_PER_STEP,
            seconds=STEP_SECONDS,
        )
        self._running: dict[TokenStream, Running] = {}
        # Those that had to make room, and what each has still to say.
        self._resumed: dict[TokenStream, Ask] = {}
        # Of these, those that say it all again, by themselves: and what they have said.
        self._said: dict[TokenStream, Sequence[int]] = {}
        self._piece: Any = None
        self._form_begins = False
        self._news: News = []

    def __bool__(self) -> bool:
        return bool(self._running or self._lane)

    @property
    def kv_usage(self) -> float:
        """As of the last step, which the library tells in per cent. From any thread."""
        return self._pipeline.get_metrics().cache_usage / 100 if self._running else 0.0

    def streams(self) -> Iterator[TokenStream]:
        yield from self._running
        yield from self._lane.owners()

    def warm_up(self) -> None:
        """Read one prompt; nobody hears the answer."""
        greedy = TokenSampling(temperature=0.0)
        ask = Ask(prompt=[0] * _WARM_UP_TOKENS, max_tokens=2, sampling=greedy)
        self._submit(ask.prompt, generation_config(ask, self._end_tokens))
        self._pipeline.step()

    def finish_warm_up(self) -> None:
        """The first token after a prompt compiles once more."""
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()

    def add(self, stream: TokenStream) -> None:
        stream.ask = seeded(stream.ask)
        prompt = stream.ask.prompt
        self._lane.add(Prefill(stream, len(prompt), self._index.chain(prompt)))

    def cancel(self, stream: TokenStream) -> None:
        self._lane.remove(stream)
        self._forget(stream)
        running = self._running.pop(stream, None)
        if running is not None:
            running.handle.cancel()
            self._remember(running)
            if not self._running:
                # The library lets go of a cancelled request in its next step.
                self._pipeline.step()

    def close(self) -> None:
        """Cancel everything, so that the library can end in good order."""
        for stream in list(self.streams()):
            self.cancel(stream)

    def step(self) -> News:
        """Read parts of prompts, generate a token for each running answer; what is new."""
        turns = self._begin_turns()
        began = time.perf_counter()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        seconds = time.perf_counter() - began
        if self._form_begins:
            self._form_begins = False
            self._form_lock.release()
        self._collect()
        settled = [self._settle(turn) for turn in turns]
        if all(settled):
            self._budget.observe(sum(turn.tokens for turn in turns), seconds)
        news, self._news = self._news, []
        return news

    # --- prompts

    def _begin_turns(self) -> list[Turn[TokenStream]]:
        """A prompt that the library reads on its own has the steps for itself, and so has a form
        that begins again: with the cache for itself it ends."""
        first = next(self._lane.owners(), None)
        alone = self._said.keys() & {first, *self._running}
        if self._running and (alone or any(not each.generated for each in self._running.values())):
            return []
        budget = self._budget.tokens if self._running else TOKENS_PER_STEP
        turns = self._lane.turns(budget, self._may_begin)
        return [turn for turn in turns if self._begin(turn)]

    def _may_begin(self, stream: TokenStream) -> bool:
        """A form begins only while none is being compiled."""
        if stream.ask.form is None or self._form_begins:
            return True
        wait = 0 if self._running else _FORM_WAIT_SECONDS
        self._form_begins = self._form_lock.acquire(timeout=wait)
        return self._form_begins

    def _begin(self, turn: Turn[TokenStream]) -> bool:
        """False: the library refused this one request; the others are not touched."""
        prefill = turn.prefill
        stream = prefill.owner
        ask = self._resumed.get(stream, stream.ask)
        prefill.computed += turn.tokens
        try:
            if not turn.whole:
                self._piece = self._submit(ask.prompt[: turn.end], piece_config())
                return True
            if ask.form is not None and self._forms is not None:
                self._forms.trim()
                self._forms.ensure(ask.form)
            handle = self._submit(ask.prompt, generation_config(ask, self._end_tokens))
        except Exception as error:
            self._lane.remove(stream)
            self._news.append((stream, str(error)))
            return False
        self._running[stream] = Running(handle, prefill, ask, self._said.get(stream, ()))
        return True

    def _submit(self, prompt: Sequence[int], config: genai.GenerationConfig) -> Any:
        self._ids += 1
        ids = openvino.Tensor(np.array([prompt], dtype=np.int64))
        return self._pipeline.add_request(self._ids, ids, config)

    def _settle(self, turn: Turn[TokenStream]) -> bool:
        """After the step. False: the cache did not hold what it should have held, so that one step
        was not enough; the library then reads this prompt alone."""
        prefill = turn.prefill
        if turn.whole:
            running = self._running.get(prefill.owner)
            if running is None or running.generated:
                return not prefill.direct
        else:
            piece, self._piece = self._piece, None
            if piece.get_status() == genai.GenerationStatus.FINISHED:
                self._index.remember(prefill.chain[: turn.end // KV_BLOCK_TOKENS])
                return True
            piece.cancel()
        prefill.direct = True
        prefill.computed = prefill.length
        self._index.forget(prefill.chain)
        return False

    # --- answers

    def _collect(self) -> None:
        """New tokens of every running request; those that have ended are no longer running."""
        for stream, running in list(self._running.items()):
            first = not running.generated
            step = running.read()
            if running.strayed:
                running.handle.cancel()
                del self._running[stream]
                self._give_up(stream)
                continue
            if first and running.generated:
                if stream not in self._resumed:
                    stream.cached_tokens = running.prefill.length - running.prefill.computed
                self._index.remember(running.prefill.chain)
            if step.tokens or step.finish_reason:
                self._news.append((stream, step))
            if step.finish_reason:
                del self._running[stream]
                self._forget(stream)
                self._remember(running)
            elif running.dropped:
                del self._running[stream]
                self._begin_again(stream, running)

    def _begin_again(self, stream: TokenStream, running: Running) -> None:
        """Behind the others, but a form before them. Who began again and said nothing has no room
        even so, and a form then had all of it."""
        if stream in self._said or (stream in self._resumed and not running.generated):
            self._give_up(stream)
            return
        rest = self._resumed[stream] = running.rest()
        self._index.forget(running.prefill.chain)
        prefill = Prefill(stream, len(rest.prompt), self._index.chain(rest.prompt))
        if rest.form is not None and running.generated:
            self._said[stream] = running.generated
            prefill.direct = True
            self._lane.add_first(prefill)
        else:
            self._lane.add(prefill)

    def _give_up(self, stream: TokenStream) -> None:
        self._forget(stream)
        self._news.append((stream, "The request does not fit into the KV cache."))

    def _forget(self, stream: TokenStream) -> None:
        """It no longer has to begin again."""
        self._resumed.pop(stream, None)
        self._said.pop(stream, None)

    def _remember(self, running: Running) -> None:
        """The answer may be the beginning of the next prompt."""
        before = running.prefill.chain
        if running.generated:
            rest = running.beyond(len(before) * KV_BLOCK_TOKENS)
            self._index.remember(self._index.chain(rest, before))
