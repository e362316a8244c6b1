"""axe-core in a page: what breaks a rule of WCAG 2.2 AA or axe's good practice, in words."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import DESKTOP, PHONE

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
RUN = """async only => {
    const type = only.length < 3 ? "rule" : "tag";
    const runOnly = { type, values: only };
    const options = { runOnly, resultTypes: ["violations"], preload: false };
    if (type === "tag") options.rules = { "target-size": { enabled: true } };
    const { violations } = await axe.run(document, options);
    return violations.flatMap(({ id, nodes }) => nodes.map(
        (node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`
    ));
}"""


@cache
def source() -> str:
    """The script itself, as the package axe-playwright-python carries it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


class Audit:
    """Looks at what one tab shows, wide and light, narrow and dark; keeps all that is wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # A colour on its way to another is no colour to judge.
        page.emulate_media(reduced_motion="reduce")
        self.faults: list[str] = []
        self.states: list[str] = []

    def look(self, state: str) -> None:
        """Everything twice, where the layout differs; the other two pairs by their colours."""
        self.states.append(state)
        for scheme, rules in (("light", RULES), ("dark", COLOURS)):
            self._run(f"{state}, wide, {scheme}", scheme, rules)
        self.page.set_viewport_size(PHONE)
        self._run(f"{state}, narrow, dark", "dark", RULES)
        self.page.set_viewport_size(DESKTOP)
        self.page.emulate_media(color_scheme="light")

    def glance(self, state: str) -> None:
        """Everything once, narrow: for a page that differs from one looked at in words only."""
        self.states.append(state)
        self.page.set_viewport_size(PHONE)
        self._run(f"{state}, narrow, light", "light", RULES)

    def _run(self, what: str, scheme: str, rules: list[str]) -> None:
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(source())
        self.faults += [f"{what}: {fault}" for fault in self.page.evaluate(RUN, rules)]
