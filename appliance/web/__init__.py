"""The pages: server-rendered, htmx on top, everything also works by plain form and reload.

How to write a page
-------------------
One file a page, one template a view. A page file has a module-level `router` (listed in
`web/app.py`) and routes that take a `PageDep`:

    router = APIRouter(route_class=PageRoute)

    @dataclass(frozen=True)
    class HistoryView:                       # exactly the names the template uses
        rows: tuple[Row, ...]

    @router.get("/history")
    async def history(page: PageDep, before: str | None = None) -> Response:
        found = await page.parts.queries.requests(owner=page.owner, before=before, limit=50)
        view = HistoryView(rows=tuple(found.rows))
        return page.render("history.html", view, block="rows" if page.wants_fragment else None)

- `page.parts` is `WebParts`, `page.caller` who asks, `page.owner` the ledger filter (None for an
  admin: sees everyone). `OpenPageDep` is the same without a caller (login, language, theme).
- `page.render(template, view, block=None, status=200)`; a fragment is a block of its page.
  `page.redirect("/keys")` answers 303, or HX-Redirect to htmx.
- Raise any `ApplianceError`: `PageRoute` turns it into a page, a notice (htmx) or a login redirect.
- Sentences: `page.gettext("…")`, `page.ngettext("…", "…", n)`, in templates `_()` and
  `ngettext()`; `Phrase`s by `page.phrase(phrase)` or `{{ phrase|phrase }}`. Chinese goes to
  `locales/zh/LC_MESSAGES/messages.po`; `python -m appliance.web.catalog` updates it.
- Templates extend `base.html`, fill the blocks `title`, `main`, optional `aside` (in the sidebar),
  and know `frame` (language, theme, path, caller name …), the view's fields, and `ui`, the macros
  of `macros.html`: `icon`, `head`, `empty`, `badge`, `notice`, `copy_button`, `field`, `stream`.
  Filters: `datetime`, `ago`, `number`, `decimal`, `ms`, `bytes`, `phrase`, `markdown`.
- No inline script or style: the Content-Security-Policy forbids them. Static files: `asset("x")`.
  A page's own scripts stand in the block `scripts`, by address; they run after its first frame
  (`static/start.js`), so the page must work without them, and they must mind what was done by then.

How streaming is done
---------------------
`parts.runs.start(...)` makes a `Run`: one generation in a task of its own, which lives on when the
tab closes. The page shows `ui.stream(url, html, thoughts)`; the route at `url` answers
`stream(page, run, finished)` of `web/streaming.py`, which sends Markdown as it settles and at last
`finished()`, the HTML that takes the region's place. `run.stop()` stops it.

Without JavaScript the same page shows what there is so far and, while a run goes on, refreshes
itself (`{% block refresh %}{{ ui.refresh(2) }}{% endblock %}`).
"""
