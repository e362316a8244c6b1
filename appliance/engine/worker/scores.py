"""Log-probabilities in step with the text that is shown: a token counts once its text does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.domain import TokenLogprob
from appliance.engine.worker.backends.base import Scored
from appliance.engine.worker.tokenizer import TextTokenizer

# JSON has no minus infinity; OpenAI and vLLM write this instead.
LEAST = -9999.0


@dataclass(slots=True)
class _Waiting:
    logprob: TokenLogprob
    begin: int
    end: int


class ScoreTrack:
    """Follows each token's characters through the parts that hold text back or take it away.

    Twice: first from the token to the answer's text (thinking and calls fall out), then to what is
    shown of it (stop strings cut it).
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._raw = 0
        self._said = 0
        self._shown = 0
        self._undecided: deque[_Waiting] = deque()
        self._content: deque[_Waiting] = deque()

    def generated(self, token: int, score: Scored, characters: int) -> None:
        """One token, and how many characters it completed."""
        begin, self._raw = self._raw, self._raw + characters
        self._undecided.append(_Waiting(_logprob(self._tokenizer, token, score), begin, self._raw))

    def grew(self, characters: int) -> None:
        """The last tokens' character will never be whole and is shown as U+FFFD."""
        self._raw += characters

    def restart(self) -> None:
        """Tokens that have not become text never will."""
        self._undecided.clear()

    def passed(self, said: int, held: int, shown: int) -> tuple[TokenLogprob, ...]:
        """`said` characters became the answer's text, `held` may still, `shown` were shown."""
        end = self._raw - held
        while self._undecided and self._undecided[0].begin < end:
            token = self._undecided.popleft()
            if said and (token.begin >= end - said or token.end > end - said):
                token.begin = max(0, token.begin - (end - said)) + self._said
                self._content.append(token)
        self._said += said
        self._shown += shown
        seen = []
        while self._content and self._content[0].begin < self._shown:
            seen.append(self._content.popleft().logprob)
        return tuple(seen)


def of_prompt(
    tokenizer: TextTokenizer, prompt: Sequence[int], scores: Sequence[Scored]
) -> Iterator[TokenLogprob]:
    """`scores` has one for each token but the first."""
    for token in prompt[:1]:
        spelt = tokenizer.spell(token)
        yield TokenLogprob(spelt.decode(errors="replace"), None, tuple(spelt))
    for token, score in zip(prompt[1:], scores, strict=True):
        yield _logprob(tokenizer, token, score)


def _logprob(tokenizer: TextTokenizer, token: int, score: Scored) -> TokenLogprob:
    top = tuple(_named(tokenizer, other, value) for other, value in score.top)
    own = _named(tokenizer, token, score.logprob)
    return TokenLogprob(own.text, own.logprob, own.bytes, top)


def _named(tokenizer: TextTokenizer, token: int, logprob: float) -> TokenLogprob:
    spelt = tokenizer.spell(token)
    text = spelt.decode(errors="replace")
    return TokenLogprob(text, max(logprob, LEAST), tuple(spelt))
