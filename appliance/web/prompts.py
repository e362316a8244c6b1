"""What the model is sent for an order: the text fenced, the instruction after it.

What a person pastes is data: it is fenced with a mark that does not occur in it, and the
instruction stands last. Knows neither pages nor engine.
"""

from __future__ import annotations

import re

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.engine.config import EngineFacts
from appliance.web.languages import CODE_LANGUAGES
from appliance.web.tasks import HUMAN_LANGUAGES, IN_CHINESE, Assistant, Order

AMPLE_ANSWER_TOKENS = 2048
_FENCE = re.compile(r"\A(?:```+\w*|<(?:text|before)_*>)\n")


def compose(assistant: Assistant, order: Order, reader: str) -> tuple[Message, ...]:
    """The turns to send. `reader` is the page's language; anything but zh reads English."""
    tongue = "zh" if reader.startswith("zh") else "en"
    target = order.target
    if order.task.target == "human":
        target = IN_CHINESE[target] if tongue == "zh" else HUMAN_LANGUAGES[target]
    sentences = [order.task.prompts[tongue].replace("{target}", target)]
    if order.language and assistant.note:
        sentences.insert(0, assistant.note[tongue].replace("{language}", order.language))
    if _shows_around(order):
        sentences.append(assistant.around[tongue])
    instruction = ("" if tongue == "zh" else " ").join(sentences)
    return (
        Message("system", assistant.system[tongue]),
        Message("user", f"{_material(order)}\n\n{instruction}"),
    )


def generation_request(
    assistant: Assistant, order: Order, reader: str, facts: EngineFacts | None
) -> GenerationRequest:
    """What to ask of the engine that `facts` describe (None while it is being loaded)."""
    prompt = compose(assistant, order, reader)
    if order.think and facts and facts.thinking:
        # Thinking has a temperature of its own, which the model's makers recommend.
        return GenerationRequest(prompt=prompt, enable_thinking=True)
    limit = answer_limit(order.passage.part, facts.context_length) if facts else None
    return GenerationRequest(
        prompt=prompt,
        sampling=Sampling(temperature=order.task.temperature, max_tokens=limit),
        enable_thinking=False if facts and facts.thinking else None,
    )


def answer_limit(text: str, context_length: int) -> int | None:
    """Most tokens that an answer about `text` needs, so that a small model does not ramble on.

    None, which leaves it to the engine, where the limit and a text of a token a character might
    not fit into the context together: a limit must never be the reason for a refusal.
    """
    limit = max(AMPLE_ANSWER_TOKENS, 2 * len(text))
    return limit if len(text) + limit + 512 <= context_length else None


def fenced_code(code: str, language: str = "") -> str:
    """A Markdown block whose fence is longer than any in the code."""
    longest = max(map(len, re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{CODE_LANGUAGES.get(language, '')}\n{code}\n{fence}"


def unfenced(asked: str) -> str:
    """The beginning of what was asked, as a person wrote it: without the mark before it."""
    return _FENCE.sub("", asked)


def _material(order: Order) -> str:
    """The part to work on, with what stands around it where only a part is to change."""
    passage, mark = order.passage, ""
    while re.search(rf"</?(?:text|before|after){mark}>", passage.text):
        mark += "_"

    def tagged(name: str, text: str) -> str:
        return f"<{name}{mark}>\n{text}\n</{name}{mark}>" if text.strip() else ""

    part = passage.part.strip("\n")
    code = order.task.input == "code"
    shown = [fenced_code(part, order.language) if code else tagged("text", part)]
    if _shows_around(order):
        shown.insert(0, tagged("before", passage.near_before))
        shown.append(tagged("after", passage.near_after))
    return "\n\n".join(filter(None, shown))


def _shows_around(order: Order) -> bool:
    return order.task.result == "replace" and not order.passage.whole
