"""Whether a model thinks before it answers, for how long, and how its thinking is ended early."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from appliance.domain import GenerationRequest, Message
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.reasoning import CLOSE
from appliance.errors import UnsupportedParameter

# Qwen's own words for a budget that is used up: models of the family were trained to go on here.
CLOSING = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the "
    f"thinking directly now.\n{CLOSE}\n\n"
)
# What stands between thinking and answer when the model ended its thinking by itself.
AFTER_THINKING = "\n\n"
# Qwen3's soft switch, in a user's or system's turn; the latest counts.
_SWITCH = re.compile(r"(?<!\S)/(no_)?think(?!\S)")


def wanted_thinking(
    request: GenerationRequest, template: ChatTemplate, fields: Mapping[str, str]
) -> bool | None:
    """What to tell the template; None leaves it to the model.

    Raises UnsupportedParameter when thinking is asked of a model that has none. `fields` says how
    the caller named things.
    """
    wish, budget = request.enable_thinking, request.thinking_budget
    if wish and not template.thinking:
        raise _cannot(fields.get("enable_thinking", "chat_template_kwargs.enable_thinking"))
    if budget and not template.thinking:
        raise _cannot(fields.get("thinking_budget", "thinking_budget"))
    if not template.thinking:
        return wish
    if wish is False or budget == 0:
        return False
    if template.switchable and not isinstance(request.prompt, str):
        return False if _switched_off(request.prompt) else wish
    # A model that always thinks needs no switch, and its template knows none.
    return None


def _switched_off(messages: Sequence[Message]) -> bool:
    for message in reversed(messages):
        if message.role in ("user", "system"):
            switches = _SWITCH.findall(message.content)
            if switches:
                return bool(switches[-1])
    return False


def _cannot(field: str) -> UnsupportedParameter:
    return UnsupportedParameter(
        "This model cannot think before it answers. Leave out %(field)s.", param=field, field=field
    )
