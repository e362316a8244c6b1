"""A program: a PDF or DOCX file on standard input, its text as JSON on standard output.

    python -m appliance.web.document_reader pdf|docx

It is run as a process of its own by `documents`, which ends it when it takes too long. It bounds
its own memory where the system can. `{"problem": …}` says why there is no text.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from typing import Any

MAX_PAGES = 2000
MAX_UNPACKED_BYTES = 200_000_000
MAX_MEMORY_BYTES = 1_500_000_000
MAX_CHARACTERS = 1_600_000  # a little more than is taken, so that the refusal comes from there
Answer = dict[str, Any]


def main() -> None:
    _bound_memory()
    read = {"pdf": read_pdf, "docx": read_docx}[sys.argv[1]]
    try:
        answer = read(sys.stdin.buffer.read())
    except Exception:  # the libraries raise whatever a broken file makes them stumble over
        answer = {"problem": "broken"}
    sys.stdout.write(json.dumps(answer))


def read_pdf(data: bytes) -> Answer:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    reader = PdfReader(io.BytesIO(data))
    try:
        # Many files are encrypted with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            return {"problem": "encrypted"}
    except DependencyError:
        return {"problem": "encrypted"}
    pages = len(reader.pages)
    if pages > MAX_PAGES:
        return {"problem": "too_many_pages", "pages": pages, "most": MAX_PAGES}
    texts, length = [], 0
    for page in reader.pages:
        texts.append(page.extract_text().strip())
        length += len(texts[-1])
        if length > MAX_CHARACTERS:
            break
    if not length:
        return {"problem": "scanned", "pages": pages}
    return {"text": "\n\n".join(texts), "pages": pages}


def read_docx(data: bytes) -> Answer:
    """Paragraphs and tables in their order; headings and lists as Markdown has them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # zipfile itself unpacks no more of a part than its entry says.
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_UNPACKED_BYTES:
        return {"problem": "too_large", "size": size, "most": MAX_UNPACKED_BYTES}
    from docx import Document
    from docx.table import Table

    blocks, length = [], 0
    for block in Document(io.BytesIO(data)).iter_inner_content():
        blocks.append(_table(block) if isinstance(block, Table) else _paragraph(block))
        length += len(blocks[-1])
        if length > MAX_CHARACTERS:
            break
    return {"text": "\n\n".join(filter(None, blocks))}


def _paragraph(block: Any) -> str:
    text: str = block.text.strip()
    style = block.style.name if block.style is not None else ""
    if text and style.startswith("Heading ") and style[8:].isdecimal():
        return "#" * min(6, int(style[8:])) + " " + text
    return f"- {text}" if text and style.startswith("List") else text


def _table(block: Any) -> str:
    rows = [[" ".join(cell.text.split()) for cell in row.cells] for row in block.rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit; there the time alone bounds it
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


if __name__ == "__main__":
    main()
