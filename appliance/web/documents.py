"""The text of a file somebody attaches: which formats are read, and how much of them.

What is not plain text is read by a process of its own (`document_reader`), which ends when it
takes too long: a hostile file can neither hang nor fill this one. Knows no pages and no tokens.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import anyio

from appliance.errors import InvalidRequest

Kind = Literal["text", "markdown", "code", "csv", "pdf", "docx"]
ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_BYTES = 20_000_000
MAX_CHARACTERS = 1_500_000
READ_SECONDS = 30
_KINDS: dict[str, Kind] = {
    ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".tsv": "csv",
    ".txt": "text", ".log": "text", ".text": "text", ".rst": "text", ".srt": "text",
    ".pdf": "pdf", ".docx": "docx",
}  # fmt: skip
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Document:
    """What was read; `pages` of a PDF."""

    name: str
    kind: Kind
    size: int
    text: str
    pages: int | None = None


async def read_document(name: str, data: bytes) -> Document:
    """The document's text. Raises InvalidRequest, with what to do, when there is none to be had."""
    name = plain_name(name)
    check_size(name, len(data))
    kind = _kind(name, data)
    if kind in ("pdf", "docx"):
        found = await anyio.to_thread.run_sync(_read_apart, name, kind, data)
        text, pages = found["text"], found.get("pages")
    else:
        text, pages = await anyio.to_thread.run_sync(_decoded, name, data), None
    if not text.strip():
        raise InvalidRequest("“%(name)s” is empty: there is no text in it.", name=name)
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(
            "“%(name)s” has more than %(most)s characters of text. Attach the part that matters.",
            name=name,
            most=f"{MAX_CHARACTERS:,}",
        )
    return Document(name, kind, len(data), text, pages)


def plain_name(name: str) -> str:
    """Only the last part of a path, without what would break a line."""
    last = PurePosixPath(PureWindowsPath(name).name).name
    return "".join(c for c in last if c.isprintable())[:120] or "file"


def check_size(name: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise InvalidRequest(
            "“%(name)s” has %(size)s MB; at most %(most)s MB are read. Attach the part that "
            "matters.",
            name=name,
            size=f"{size / 1e6:.1f}",
            most=MAX_FILE_BYTES // 1_000_000,
        )


def _kind(name: str, data: bytes) -> Kind:
    """By content where that tells, else by name."""
    if data.startswith(b"%PDF-"):
        return "pdf"
    kind = _KINDS.get(PurePosixPath(name).suffix.lower(), "code")
    if data.startswith(_OLD_OFFICE):
        raise InvalidRequest(
            "“%(name)s” is in Office's old format. Save it as DOCX or PDF, and attach that.",
            name=name,
        )
    if kind == "pdf" or (kind == "docx") != data.startswith(b"PK\x03\x04"):
        raise _not_text(name)
    return kind


def _decoded(name: str, data: bytes) -> str:
    """UTF-8, UTF-16 with its mark, or GB18030; never half of something else."""
    encodings: tuple[str, ...] = ("utf-8-sig", "gb18030", "cp1252")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ("utf-16",)
    elif b"\0" in data:
        encodings = ()
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "gb18030" or _reads_as_chinese(text):
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise _not_text(name)


def _reads_as_chinese(text: str) -> bool:
    """GB18030 decodes nearly anything; Chinese is made of common characters."""
    foreign = [c for c in text if not c.isascii()]
    common = sum("\u4e00" <= c <= "\u9fff" or "\u3000" <= c <= "\u303f" or c >= "\uff00"
                 for c in foreign)  # fmt: skip
    return common >= 0.9 * len(foreign)


def _not_text(name: str) -> InvalidRequest:
    return InvalidRequest(
        "“%(name)s” cannot be read. Text, Markdown, code, CSV, PDF and DOCX can.", name=name
    )


def _read_apart(name: str, kind: Kind, data: bytes) -> dict[str, Any]:
    command = [sys.executable, "-m", "appliance.web.document_reader", kind]
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=READ_SECONDS, cwd=ROOT, check=False
        )
    except subprocess.TimeoutExpired:
        raise InvalidRequest(
            "Reading “%(name)s” took longer than %(seconds)s seconds and was given up. Attach the "
            "part that matters, or its text.",
            name=name,
            seconds=READ_SECONDS,
        ) from None
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {"problem": "broken"}
    if "problem" in found:
        raise _refusal(name, found)
    return dict(found)


def _refusal(name: str, found: dict[str, Any]) -> InvalidRequest:
    match found["problem"]:
        case "encrypted":
            return InvalidRequest(
                "“%(name)s” is protected by a password. Save a copy without one, and attach that.",
                name=name,
            )
        case "scanned":
            return InvalidRequest(
                "“%(name)s” holds pictures of its %(pages)s pages and no text (a scan). Run text "
                "recognition (OCR) on it first.",
                name=name,
                pages=found["pages"],
            )
        case "too_large":
            return InvalidRequest(
                "“%(name)s” unpacks to %(size)s MB; at most %(most)s MB are read.",
                name=name,
                size=found["size"] // 1_000_000,
                most=found["most"] // 1_000_000,
            )
        case "too_many_pages":
            return InvalidRequest(
                "“%(name)s” has %(pages)s pages; at most %(most)s are read. Attach the pages that "
                "matter.",
                name=name,
                pages=found["pages"],
                most=found["most"],
            )
    return InvalidRequest(
        "“%(name)s” is damaged, or not what its name says. Open and save it anew, and attach that.",
        name=name,
    )
