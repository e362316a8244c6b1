"""QR codes of links, for a page and for a terminal."""

from __future__ import annotations

import io


def as_image(link: str) -> str:
    """A `data:` URI of an SVG image, dark on white whatever the page's theme: cameras want that."""
    import segno  # a tenth of a second, and seldom needed

    return segno.make_qr(link, error="m").svg_data_uri(scale=5, border=3, light="#fff")


def as_text(link: str) -> str:
    """Half blocks for a terminal; readable on a dark and on a light one."""
    import segno

    out = io.StringIO()
    segno.make_qr(link, error="l").terminal(out, compact=True, border=2)
    return out.getvalue()
