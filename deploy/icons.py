"""Draws the icons of the installed page from static/icon.svg, with Chromium and nothing else.

    python deploy/icons.py

`icon-*.png` are the icon as it is; `maskable-512.png` and `.svg` reach to every edge, since systems
cut them to a shape of their own and promise to leave only the middle 80 %.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

STATIC = Path(__file__).resolve().parent.parent / "static"
SIZES = {"icon-192": 192, "icon-512": 512, "maskable-512": 512, "touch-180": 180}
MIDDLE = 0.8


def maskable(svg: str) -> str:
    """The same picture on a ground without corners, drawn within what is sure to be seen."""
    ground = re.sub(r' rx="\d+"', "", svg)
    shift = 32 * (1 - MIDDLE) / 2
    return re.sub(
        r"(<path.*?/>)",
        rf'<g transform="translate({shift:g} {shift:g}) scale({MIDDLE})">\1</g>',
        ground,
    )


def main() -> None:
    svg = (STATIC / "icon.svg").read_text("utf-8").strip()
    folder = STATIC / "icons"
    folder.mkdir(exist_ok=True)
    (folder / "maskable.svg").write_text(maskable(svg) + "\n", "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        for name, size in SIZES.items():
            drawn = svg if name.startswith("icon") else maskable(svg)
            page.set_viewport_size({"width": size, "height": size})
            page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{drawn}")
            page.screenshot(path=folder / f"{name}.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
