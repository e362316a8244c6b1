"""What the pages of the writing assistant and the code helper show.

One template for two addresses; what differs is their file of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from anyio import to_thread
from fastapi import Response

from appliance.errors import NotFound
from appliance.ledger.drafts import DraftDetail, DraftRow
from appliance.web.difference import Piece, compare_lines, compare_words, merge
from appliance.web.languages import CODE_LANGUAGES
from appliance.web.order_form import Bench, OrderForm
from appliance.web.outcome import Outcome, Program, outcome_of, program_of
from appliance.web.page import Page
from appliance.web.run import Run
from appliance.web.tasks import HUMAN_LANGUAGES, Assistant, Order, load_assistant

TEMPLATE = "assistant.html"
LOST = "outcome_lost.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantView:
    """`run` is the answer beside the form; `outcome` what came of it, once it is whole.

    `detail` is the draft whose versions are listed, `older` the way from its open version to its
    newest, `program` what is known of opened code. `fragment`: parts of the page that change
    along with the answer find their own place. `retried`: the button that was pressed is gone, so
    that the result takes the focus.
    """

    assistant: Assistant
    form: OrderForm
    run: Run | None = None
    order: Order | None = None
    outcome: Outcome | None = None
    drafts: Sequence[DraftRow] = ()
    detail: DraftDetail | None = None
    older: Sequence[Piece] = ()
    program: Program | None = None
    fragment: bool = False
    mended: bool = False
    retried: bool = False
    human_languages: Mapping[str, str] = field(default_factory=lambda: HUMAN_LANGUAGES)
    code_languages: Mapping[str, str] = field(default_factory=lambda: CODE_LANGUAGES)


@dataclass(frozen=True, slots=True)
class LostView:
    """Of a run that is not remembered."""

    assistant: Assistant
    run_id: str


def assistant_of(page: Page) -> Assistant:
    """The assistant that the address is about."""
    return load_assistant(page.request.url.path.split("/")[1])


def find_run(page: Page, run_id: str) -> tuple[Run, Bench] | None:
    """The caller's own run and its bench, if it is remembered and this assistant's."""
    run = page.parts.runs.get(run_id, page.caller.name)
    if run is None or not isinstance(run.about, Bench):
        return None
    task = run.about.order.task
    return (run, run.about) if assistant_of(page).tasks.get(task.id) is task else None


def found_run(page: Page, run_id: str) -> tuple[Run, Bench]:
    """The same, or NotFound."""
    found = find_run(page, run_id)
    if found is None:
        raise NotFound("This result is no longer kept here. Look for it in the history.")
    return found


async def make_outcome(page: Page, run: Run, bench: Bench) -> Outcome | None:
    """The outcome of a run that has ended well; what was cut off is only shown."""
    cut = run.finished is not None and run.finished.finish_reason == "length"
    if not run.over or run.state != "done" or cut or not run.text:
        return None
    work = partial(outcome_of, bench.order, run.text, assistant_of(page).id)
    return await to_thread.run_sync(work)


async def result_text(page: Page, run: Run, bench: Bench) -> str:
    """What the run has made of the text: all accepted, or its plain words."""
    outcome = await make_outcome(page, run, bench)
    if outcome is None:
        return run.text
    if outcome.program:
        return outcome.program.text
    if outcome.pieces:
        return bench.order.passage.with_part(merge(outcome.pieces, range(outcome.changes)))
    return outcome.notes


async def view(
    page: Page, form: OrderForm, found: tuple[Run, Bench] | None = None
) -> AssistantView:
    """The whole page around a form, with the run that was found beside it."""
    assistant, owner, drafts = assistant_of(page), page.caller.name, page.parts.drafts
    detail = await drafts.get(owner, assistant.id, form.draft) if form.draft else None
    made = AssistantView(
        assistant=assistant,
        form=form,
        drafts=await drafts.recent(owner, assistant.id),
        detail=detail,
    )
    if found is None:
        return made
    run, bench = found
    outcome = await make_outcome(page, run, bench)
    return replace(made, run=run, order=bench.order, outcome=outcome)


async def draft_view(page: Page, detail: DraftDetail) -> AssistantView:
    """An opened version, with its difference to the newest one beside it."""
    opened, kind = detail.open, assistant_of(page).id
    form = OrderForm(text=opened.text, language=opened.language, draft=detail.draft.id)
    made = replace(await view(page, form), detail=detail)
    if not detail.newest:
        newest = await page.parts.drafts.get(page.caller.name, kind, detail.draft.id)
        compare = compare_lines if kind == "code" else compare_words
        work = partial(compare, opened.text, newest.open.text)
        made = replace(made, older=await to_thread.run_sync(work))
    if kind == "code":
        program = partial(program_of, opened.text, opened.language)
        made = replace(made, program=await to_thread.run_sync(program))
    return made


async def refuse(page: Page, form: OrderForm, found: tuple[Run, Bench] | None = None) -> Response:
    """The form again, with the problem at its field; the result beside it stays."""
    block = "fields" if page.wants_fragment else None
    shown = await view(page, form, found)
    response = page.render(TEMPLATE, shown, block=block, status=422)
    response.headers["HX-Retarget"] = "#fields"
    response.headers["HX-Reswap"] = "outerHTML"
    return response
