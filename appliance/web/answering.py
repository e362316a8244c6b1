"""What an assistant makes of a question: the prompt, and for a service the entries it may cite."""

from __future__ import annotations

import re

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.engine.config import EngineFacts
from appliance.errors import InvalidRequest
from appliance.gateway.context import Origin
from appliance.web import faq
from appliance.web.page import Page
from appliance.web.presets import Known
from appliance.web.run import Run
from appliance.web.talks import Talk, Turn

MAX_QUESTION_CHARACTERS = 4000
ANSWER_TOKENS = 1024
_CITED = re.compile(r"\[(\d{1,4})\]")


def ask(page: Page, known: Known, talk: Talk, question: str) -> Turn:
    """Adds a turn and sets its answer going; what is in no entry is answered without the model.

    Raises InvalidRequest for an empty or long question, or while an answer is being written.
    """
    talk.check_ready()
    # One way of writing a customer's question, so that the cache knows it again.
    question = " ".join(question.split()) if known.kind == "service" else question.strip()
    if not 1 <= len(question) <= MAX_QUESTION_CHARACTERS:
        raise InvalidRequest(
            "Write a question of 1 to %(most)s characters; this one has %(count)s.",
            param="prompt",
            most=f"{MAX_QUESTION_CHARACTERS:,}",
            count=f"{len(question):,}",
        )
    turn = Turn(f"{talk.id}-{len(talk.turns)}", question)
    if known.kind == "service":
        turn.sources = _sources(known, talk, question)
        turn.said = known.handover or page.gettext("I do not know that.")
    if turn.sources or known.kind != "service":
        turn.run = _start(page, known, talk, turn)
    talk.turns.append(turn)
    return turn


def cited(turn: Turn) -> frozenset[int]:
    """Numbers of the entries that the answer names."""
    return frozenset(int(number) for number in _CITED.findall(turn.answer))


def prompt(known: Known, talk: Talk, turn: Turn) -> tuple[Message, ...]:
    """The instructions with the entries, the talk so far, the question."""
    parts = [known.instructions]
    if known.handover:
        parts.append(f"Hand-over sentence: {known.handover}")
    parts += [f"[{one.number}] {one.question}\n{one.answer}" for one in turn.sources]
    system = "\n\n".join(filter(None, parts))
    head = [Message("system", system)] if system else []
    return (*head, *talk.messages(), Message("user", turn.question))


def _sources(known: Known, talk: Talk, question: str) -> tuple[faq.Entry, ...]:
    """A question that says little by itself (“and abroad?”) is looked up with the one before."""
    entries = faq.parse(known.faq)
    found = faq.best(entries, question)
    if not found and talk.turns and talk.turns[-1].sources:
        found = faq.best(entries, f"{talk.turns[-1].question} {question}")
    return tuple(match.entry for match in found)


def _start(page: Page, known: Known, talk: Talk, turn: Turn) -> Run:
    facts = page.parts.engine.status.facts
    request = GenerationRequest(
        prompt=prompt(known, talk, turn),
        sampling=Sampling(temperature=known.temperature, max_tokens=_limit(facts)),
        enable_thinking=bool(known.thinking) if facts is not None and facts.thinking else None,
    )
    origin = Origin(dialect="assistant", conversation_id=talk.id, assistant=known.id)
    return page.parts.runs.start(
        turn.id, request, page.caller, request_id=page.request_id, keep=_nothing, origin=origin
    )


def _limit(facts: EngineFacts | None) -> int:
    """Visitors' answers end somewhere; in a small context sooner."""
    known = facts.context_length if facts is not None else 0
    return min(ANSWER_TOKENS, known // 4) if known else ANSWER_TOKENS


async def _nothing(run: Run) -> None:
    """The ledger keeps the record; a talk itself lives in memory."""
