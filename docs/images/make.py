"""Takes the pictures of docs/pages.md: every page in real Chromium, wide and narrow.

    python -m docs.images.make [--into FOLDER] [NAME …]

An appliance with two weeks of life is made for it (`lively`) and opened as a reader would; the
pictures are WebP, as Chromium itself writes it. NAME takes only the pictures that begin with it.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from docs.images.lively import FACTS, Lively, lively
from docs.images.poses import SHOTS
from tests.browser.conftest import DESKTOP, NAMES, PHONE, QUIET, found_chromium
from tests.browser.readiness import patient_browser

HERE = Path(__file__).parent
QUALITY = 60


@contextmanager
def tab(browser: Browser, lively: Lively, variant: str) -> Iterator[tuple[Page, str]]:
    """A page as the variant says, and its language."""
    language = "zh" if "zh" in variant else "en"
    context = browser.new_context(
        viewport=PHONE if "phone" in variant else DESKTOP,
        locale={"zh": "zh-CN", "en": "en-GB"}[language],
        color_scheme="dark" if "dark" in variant else "light",
        reduced_motion="reduce",
        base_url=lively.url,
    )
    try:
        yield context.new_page(), language
    finally:
        context.close()


def picture(context: BrowserContext, page: Page) -> bytes:
    """What the tab shows, as WebP, which only the browser's own protocol offers."""
    page.evaluate("document.fonts.ready")
    session = context.new_cdp_session(page)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    return base64.b64decode(taken["data"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=HERE)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    shots = [one for one in SHOTS if not options.names or one.name.startswith(tuple(options.names))]
    options.into.mkdir(parents=True, exist_ok=True)
    path = found_chromium()
    if path is None:
        parser.error(f"This needs a Chromium: {', '.join(NAMES)}.")
    with (
        tempfile.TemporaryDirectory() as folder,
        lively(Path(folder)) as made,
        sync_playwright() as playwright,
    ):
        browser = patient_browser(playwright.chromium.launch(executable_path=path, args=QUIET))
        for shot in shots:
            for variant in shot.variants:
                with tab(browser, made, variant) as (page, language):
                    shot.pose(page, made, language)
                    taken = picture(page.context, page)
                made.model.release.set()
                made.house.engine.board.publish(phase="ready", facts=FACTS)
                (options.into / f"{shot.name}-{variant}.webp").write_bytes(taken)
        browser.close()


if __name__ == "__main__":
    main()
