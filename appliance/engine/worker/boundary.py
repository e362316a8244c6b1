"""Where a stream must end and another begin: policy over token ids that knows no backend.

A segment ends early when what follows must be asked for differently: the thinking is cut short, or
a form begins to hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.engine.worker.answer import joined
from appliance.engine.worker.backends.base import Scored, Step
from appliance.engine.worker.forms import Form
from appliance.engine.worker.job import Choice, Job
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.thinking import AFTER_THINKING, CLOSING
from appliance.engine.worker.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class Next:
    """Another segment begins here, held to `form`."""

    form: Form | None = None


class Boundary:
    """Feeds the answer of one choice, and keeps what its next segment goes on from."""

    def __init__(self, tokenizer: TextTokenizer, job: Job, choice: Choice) -> None:
        self.kept: list[int] = []
        self._tokenizer = tokenizer
        self._job = job
        self._choice = choice
        self._form = job.form  # that does not hold yet
        self._call_form = job.call_form
        self._budget = job.thinking_budget
        self._call_at = 0  # tokens kept before the call that is being read
        self._answer_at = 0  # tokens kept before the answer

    def first(self) -> Next:
        form = None
        if self._choice.answer.answering and not self._job.form_or_calls:
            form, self._form = self._form, None
        return Next(form)

    def take(self, step: Step) -> tuple[Parts, Next | None]:
        """What a step adds, and the next segment when this one must end."""
        choice = self._choice
        if self._plain and not choice.hurried:
            self.kept += step.tokens
            parts, following = choice.answer.feed(step.tokens, step.scores), None
        else:
            parts, following = self._watch(step)
        choice.completion_tokens = len(self.kept)
        return parts, following

    @property
    def _plain(self) -> bool:
        return self._form is None and self._call_form is None and self._budget is None

    def _watch(self, step: Step) -> tuple[Parts, Next | None]:
        seen: list[Parts] = []
        for at, token in enumerate(step.tokens):
            parts, following = self._look(token, step.scores[at : at + 1])
            seen.append(parts)
            if following is not None:
                return joined(seen), following
        answer = self._choice.answer
        if not answer.thinking:
            self._choice.hurried = False
        if step.finish_reason == "stop" and self._form is not None and not answer.answering:
            # It ended without an answer, perhaps in its thinking: the form is owed all the same.
            parts, following = self._owed()
            return joined([*seen, parts]), following
        return joined(seen), None

    def _look(self, token: int, score: Sequence[Scored]) -> tuple[Parts, Next | None]:
        answer, calls = self._choice.answer, self._choice.answer.calls
        thinking = answer.thinking
        if not answer.held:
            self._call_at = len(self.kept)
        self.kept.append(token)
        parts = answer.feed((token,), score)
        if answer.thinking:
            return self._still_thinking(parts)
        if answer.answering:
            self._budget = None
        if self._form is not None:
            parts, following = self._before_form(parts, thinking, token)
            if following is not None:
                return parts, following
        if self._call_form is not None and calls is not None and calls.inside:
            form, self._call_form = self._call_form, None
            del self.kept[self._call_at :]
            answer.begin()
            return parts, Next(form)
        return parts, None

    def _still_thinking(self, parts: Parts) -> tuple[Parts, Next | None]:
        over = self._budget is not None and self._choice.answer.reasoning_tokens >= self._budget
        if not over and not self._choice.hurried:
            return parts, None
        said, following = self._close()
        return joined([parts, said]), following

    def _close(self) -> tuple[Parts, Next | None]:
        """End the thinking here, if that leaves room for an answer."""
        answer, closing = self._choice.answer, self._encode(CLOSING)
        self._budget, self._choice.hurried = None, False
        if len(self.kept) + len(closing) >= self._job.max_tokens:
            return Parts("", ""), None
        self.kept += closing
        self._answer_at = len(self.kept)
        answer.reasoning_tokens += len(closing)
        said = answer.think(CLOSING)
        held = self._form is not None and not self._job.form_or_calls
        return said, self._hold() if held else Next()

    def _before_form(
        self, parts: Parts, was_thinking: bool, token: int
    ) -> tuple[Parts, Next | None]:
        """The form begins to hold where the answer begins, unless that begins with a call."""
        answer, calls = self._choice.answer, self._choice.answer.calls
        if was_thinking and not answer.thinking:
            self._end_thinking(token)
            if answer.answering or not self._job.form_or_calls:
                return Parts(parts.reasoning, ""), self._hold()
        if not answer.answering:
            return parts, None
        if self._job.form_or_calls and calls is not None and not answer.said:
            if calls.inside:
                self._form = None
            return parts, None
        return Parts(parts.reasoning, ""), self._hold()

    def _end_thinking(self, token: int) -> None:
        """Keep the closing mark and line breaks, and nothing of an answer in the same token."""
        spelt = self._tokenizer.spell(token).decode(errors="replace")
        mark = spelt[: spelt.rfind(">") + 1]
        if spelt[len(mark) :].strip():
            self.kept[-1:] = self._encode(mark)
        if not spelt.endswith("\n") or spelt[len(mark) :].strip():
            self.kept += self._encode(AFTER_THINKING)
        self._answer_at = len(self.kept)

    def _owed(self) -> tuple[Parts, Next | None]:
        if not self._tokenizer.bytes(self.kept[-1]):
            self.kept.pop()  # the end token
        return self._close() if self._choice.answer.thinking else (Parts("", ""), self._hold())

    def _hold(self) -> Next:
        """From here on the form holds; what came after the thinking is written again."""
        form, self._form = self._form, None
        del self.kept[self._answer_at :]
        self._choice.answer.begin()
        return Next(form)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)
