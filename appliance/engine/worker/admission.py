"""Accepts what can be finished: the prompt and the whole answer within context and cache."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import ContextExceeded, InvalidRequest


@dataclass(frozen=True, slots=True)
class Admission:
    """Sizes in tokens. `limit` is the smaller of context and KV cache."""

    context_length: int
    kv_tokens: int

    @property
    def limit(self) -> int:
        return min(self.context_length, self.kv_tokens)

    def admit(self, prompt_tokens: int, max_tokens: int | None, field: str = "prompt") -> int:
        """How many tokens the answer may have: what was asked, or all that is left.

        Raises ContextExceeded, which carries `prompt_tokens`, `max_tokens` and `limit`. `field` is
        where the caller wrote the prompt.
        """
        if prompt_tokens == 0:
            raise InvalidRequest("The prompt is empty. Write at least one word.", param=field)
        left = self.limit - prompt_tokens
        if left >= (max_tokens or 1):
            return max_tokens or left
        numbers = {
            "prompt_tokens": prompt_tokens,
            "max_tokens": max_tokens or 1,
            "limit": self.limit,
        }
        if left < 1:
            raise ContextExceeded(
                "The prompt has %(prompt_tokens)s tokens, and this model holds %(limit)s for "
                "prompt and answer together. Shorten the prompt.",
                param=field,
                **numbers,
            )
        raise ContextExceeded(
            "The prompt has %(prompt_tokens)s tokens and max_tokens asks for %(max_tokens)s more, "
            "but this model holds %(limit)s for both together. Shorten the prompt, or ask for at "
            "most %(left)s.",
            param="max_tokens",
            left=left,
            **numbers,
        )
