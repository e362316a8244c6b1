"""Static files: a closed list held in memory, each under a URL that names its content.

Because the URL changes with the content, browsers may keep a file for ever. Nothing outside the
list can be asked for, so there is no path to escape from.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
TEMPLATES = ROOT / "templates"
PREFIX = "/static"
VENDOR = ("htmx-2.min.js", "ext/hx-sse-2.min.js")
# One file for all pages: nothing is painted before the styles are there, each further file is some
# milliseconds of the first visit, and whoever has seen one page has the styles of all of them.
SHEETS = ("app", "pages", "chat", "assistants", "history", "join", "keys", "write")
TOGETHER = {"app.css": tuple(f"{name}.css" for name in SHEETS)}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    compressed: bytes
    media_type: str
    url: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every static file by its plain name, such as `app.css` or `vendor/htmx.js`."""
    return MappingProxyType({name: _load(name, body) for name, body in _files()})


def asset_url(name: str) -> str:
    """URL of a static file; KeyError when there is none, so a wrong name fails in tests."""
    return assets()[name].url


async def serve_asset(request: Request) -> Response:
    """Answers GET /static/…; unknown or outdated names are 404."""
    found = _by_url().get(request.url.path)
    if found is None:
        return PlainTextResponse("Not found", status_code=404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=found.media_type, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)


@cache
def _by_url() -> dict[str, Asset]:
    return {asset.url: asset for asset in assets().values()}


def _files() -> Iterator[tuple[str, bytes]]:
    parts = {part for parts in TOGETHER.values() for part in parts}
    for path in sorted(STATIC.rglob("*")):
        name = path.relative_to(STATIC).as_posix()
        if path.is_file() and name not in parts:
            yield name, path.read_bytes()
    for name, names in TOGETHER.items():
        yield name, _joined(STATIC / part for part in names)
    yield "vendor/htmx.js", _joined(_htmx_folder() / part for part in VENDOR)


def _joined(paths: Iterable[Path]) -> bytes:
    return b"\n".join(path.read_bytes() for path in paths)


def _htmx_folder() -> Path:
    """django-htmx carries htmx as files; it is found, never imported, since Django is not used."""
    spec = importlib.util.find_spec("django_htmx")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package django-htmx, which carries htmx, is not installed.")
    return Path(spec.origin).parent / "static" / "django_htmx"


def _load(name: str, body: bytes) -> Asset:
    plain = PurePosixPath(name)
    digest = hashlib.sha256(body).hexdigest()[:10]
    kind = _TYPES.get(plain.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    url = f"{PREFIX}/{plain.with_name(f'{plain.stem}.{digest}{plain.suffix}')}"
    return Asset(body, gzip.compress(body, mtime=0), kind, url)
