"""An order to the writing assistant or the code helper: as a form says it, as a run keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Form

from appliance.domain import Phrase
from appliance.errors import InvalidRequest
from appliance.web.passage import normal
from appliance.web.tasks import Order

Text = Annotated[str, Form()]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderForm:
    """What has been typed and chosen, kept when it comes back with a problem at `wrong_field`."""

    task: str = ""
    text: str = ""
    language: str = ""
    target: str = ""
    passage: str = ""
    think: bool = False
    draft: str = ""
    wrong_field: str | None = None
    problem: Phrase | None = None

    def refused(self, error: InvalidRequest) -> OrderForm:
        """The form with the problem at its field."""
        return replace(self, wrong_field=error.param, problem=error.phrase)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run was started for: the order, and the draft whose text it was given."""

    order: Order
    draft_id: str

    def unchanged(self, form: OrderForm) -> Order:
        """The order. Raises InvalidRequest where another text stands in the form by now."""
        if normal(form.text) != self.order.passage.text:
            raise InvalidRequest(
                "The text was changed after this was asked for. Ask again, or take the change "
                "back.",
                param="text",
            )
        return self.order


async def _read(
    task: Text = "", text: Text = "", language: Text = "", target: Text = "", passage: Text = "",
    draft: Text = "", think: Annotated[bool, Form()] = False,
) -> OrderForm:  # fmt: skip
    return OrderForm(
        task=task, text=text, language=language, target=target, passage=passage,
        draft=draft, think=think,
    )  # fmt: skip


FormDep = Annotated[OrderForm, Depends(_read)]


def form_of(bench: Bench) -> OrderForm:
    order = bench.order
    return OrderForm(
        task=order.task.id,
        text=order.passage.text,
        language=order.language,
        target=order.target,
        think=order.think,
        draft=bench.draft_id,
    )
