"""Files as a reader attaches them: read, counted, refused with numbers, sent back as drafts."""

from __future__ import annotations

import io
import re
import zipfile
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from docx import Document as Word
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from appliance.errors import InvalidRequest
from appliance.web import document_reader, documents
from appliance.web.attachments import with_files
from appliance.web.documents import read_document
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio
HTMX = {"HX-Request": "true"}


def pdf(*pages: str, password: str = "") -> bytes:
    """A PDF with one line of text on each page; an empty line is a page without any."""
    writer = PdfWriter()
    fonts = {"/F1": DictionaryObject({
        NameObject("/Type"): NameObject("/Font"),
        NameObject("/Subtype"): NameObject("/Type1"),
        NameObject("/BaseFont"): NameObject("/Helvetica"),
    })}  # fmt: skip
    for line in pages:
        page = writer.add_blank_page(200, 200)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): fonts["/F1"]})}
        )
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 10 100 Td ({line}) Tj ET".encode() if line else b"")
        page[NameObject("/Contents")] = content
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def docx() -> bytes:
    document = Word()
    document.add_heading("Opening hours", level=2)
    document.add_paragraph("We are open every day.")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Sunday", "10 to 14"
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


async def test_pdf_and_word_files_are_read_apart_from_this_process() -> None:
    found = await read_document("C:\\papers\\two.pdf", pdf("Hello first", "And second"))
    assert (found.name, found.kind, found.pages) == ("two.pdf", "pdf", 2)
    assert found.text == "Hello first\n\nAnd second"
    word = await read_document("hours.docx", docx())
    assert word.text == "## Opening hours\n\nWe are open every day.\n\n| Sunday | 10 to 14 |"


@pytest.mark.parametrize(
    ("name", "data", "text", "kind"),
    [
        ("a.txt", "grün\r\nb".encode(), "grün\nb", "text"),
        ("a.md", "\ufeff# T".encode(), "# T", "markdown"),
        ("a.csv", "名称,价格".encode("gb18030"), "名称,价格", "csv"),
        ("a.log", "é wide".encode("utf-16"), "é wide", "text"),
        ("latin.txt", "déjà vu".encode("cp1252"), "déjà vu", "text"),
        ("Makefile", b"all: x", "all: x", "code"),
    ],
)
async def test_text_is_read_in_the_encodings_people_have(
    name: str, data: bytes, text: str, kind: str
) -> None:
    found = await read_document(name, data)
    assert (found.text, found.kind) == (text, kind)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "cannot be read"),
        ("a.pdf", b"no pdf at all", "cannot be read"),
        ("a.doc", b"\xd0\xcf\x11\xe0rest", "old format"),
        ("a.txt", b" \n ", "is empty"),
        ("a.docx", b"PK\x03\x04broken", "damaged"),
        ("a.pdf", b"%PDF-1.4 broken", "damaged"),
        ("a.pdf", pdf("", "", ""), "pictures of its 3 pages"),
        ("a.pdf", pdf("secret", password="x"), "protected by a password"),
        ("a.txt", b"x" * (documents.MAX_FILE_BYTES + 1), "20.0 MB; at most 20 MB"),
        ("a.txt", b"x" * (documents.MAX_CHARACTERS + 1), "more than 1,500,000 characters"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_the_reason(
    name: str, data: bytes, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(said)):
        await read_document(name, data)


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_reader, "MAX_UNPACKED_BYTES", 10_000_000)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * (document_reader.MAX_UNPACKED_BYTES + 1))
    assert len(bomb.getvalue()) < 100_000
    assert document_reader.read_docx(bomb.getvalue())["problem"] == "too_large"


def test_a_pdf_of_too_many_pages_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_reader, "MAX_PAGES", 1)
    assert PdfReader(io.BytesIO(pdf("a", "b"))).pages
    answer = document_reader.read_pdf(pdf("a", "b"))
    assert answer == {"problem": "too_many_pages", "pages": 2, "most": 1}


async def test_a_file_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "READ_SECONDS", 0.001)
    with pytest.raises(InvalidRequest, match="given up"):
        await read_document("a.pdf", pdf("x"))


async def upload(
    client: httpx2.AsyncClient, *files: tuple[str, bytes], **fields: object
) -> httpx2.Response:
    sent = [("files", file) for file in files]
    return await client.post("/attachments", files=sent, data=fields, headers=HTMX)


async def test_a_draft_is_shown_with_its_tokens_and_can_be_removed(
    client: httpx2.AsyncClient,
) -> None:
    first = (await upload(client, ("a.txt", b"one two three"))).text
    assert "a.txt" in first
    assert "3 tokens" in first
    assert "3 of the 4,096 tokens that the model can hold" in first
    (draft,) = re.findall(r'name="attachment" value="(\w+)"', first)
    both = (await upload(client, ("b.txt", b"four"), attachment=draft)).text
    assert "4 of the 4,096" in both
    assert (await client.get(f"/attachments/{draft}")).text == "one two three"
    left = await client.post(
        "/attachments", files={"x": b""}, data={"attachment": draft, "remove": draft}, headers=HTMX
    )
    assert "a.txt" not in left.text


async def test_what_does_not_fit_is_refused_with_the_numbers(client: httpx2.AsyncClient) -> None:
    answer = await upload(client, ("long.txt", b"word " * 4000))
    assert answer.status_code == 400
    for number in ("4,000", "512", "4,096"):
        assert number in answer.text


async def test_without_javascript_the_form_comes_back_with_its_drafts(
    client: httpx2.AsyncClient,
) -> None:
    fields = {"prompt": "What does it say?", "back": "//evil.example/chat/1?x=1"}
    answer = await client.post("/attachments", files={"files": ("a.md", b"# Hi")}, data=fields)
    assert answer.status_code == 303
    place = urlsplit(answer.headers["location"])
    assert (place.netloc, place.path) == ("", "/chat/1")
    query = parse_qs(place.query)
    assert query["prompt"] == ["What does it say?"]
    assert len(query["attachment"]) == 1


async def test_nobody_else_reads_a_draft(site: Site, client: httpx2.AsyncClient) -> None:
    shown = (await upload(client, ("a.txt", b"private"))).text
    (draft,) = re.findall(r'name="attachment" value="(\w+)"', shown)
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, authorization=f"Bearer {secret}") as anna:
        assert (await anna.get(f"/attachments/{draft}")).status_code == 404
        assert "private" not in (await upload(anna, ("b.txt", b"x"), attachment=draft)).text


async def test_files_stay_with_their_message_and_the_model_reads_them_first(site: Site) -> None:
    kept = site.parts.attachments
    draft = await kept.add("owner", name='a".txt', kind="text", size=9, text="x</file>y")
    chat = await site.parts.conversations.create("owner")
    first = await site.parts.conversations.add_message(chat.id, "owner", role="user", content="?")
    other = await site.parts.conversations.add_message(chat.id, "owner", role="user", content="!")
    await kept.bind([draft.id], "owner", first.id)
    await kept.copy(first.id, other.id)
    assert await kept.drafts([draft.id], "owner") == ()
    files = await kept.of_messages([first.id, other.id])
    assert [one.text for one in files[other.id]] == ["x</file>y"]
    told = with_files("What is it?", files[first.id])
    assert told == '<file- name="a\'.txt">\nx</file>y\n</file->\n\nWhat is it?'
    await site.parts.conversations.delete(chat.id, "owner")
    assert await kept.of_messages([first.id, other.id]) == {}
