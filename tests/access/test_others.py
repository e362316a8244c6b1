"""What is somebody else's: every address with a name in it, asked with another key."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlmodel import select

from appliance.ledger.tables import RequestRecord
from appliance.ledger.tables_chat import ConversationMessage
from tests.access.house import House
from tests.access.rows import BODIES, PROMPT, ROWS

pytestmark = pytest.mark.anyio
ADDRESS = "10.0.0.7"
UPLOAD = (
    '--a\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhers\r\n--a--\r\n'
)
NAMED = {row: kind for row, kind in ROWS.items() if "{" in row and kind not in ("open", "admin")}
MODELS = "GET /v1/models/{name:path}"
# Forms that are whole, so that nothing but whose it is stands in the way.
FORMS = BODIES | {
    "POST /chat/{conversation_id}": "prompt=more",
    "POST /chat/{conversation_id}/rename": "title=mine",
    "POST /chat/{conversation_id}/messages/{message_id}/edit": "prompt=more",
    "POST /assistants/{assistant_id}": "kind=chat&name=mine",
    "POST /assistants/{assistant_id}/talk": "prompt=more",
    "GET /assistants/{assistant_id}/talk/stream": "talk=x&turn=x",
    **dict.fromkeys([f"POST /{kind}/drafts/{{draft_id}}/restore" for kind in ("write", "code")],
                    "version=x"),
}  # fmt: skip
# They lead to the history, or back, without a look at whose it is.
LEAD_ON = {f"{way} /{kind}/{{run_id}}{end}" for kind in ("write", "code")
           for way, end in (("GET", ""), ("POST", "/stop"))}  # fmt: skip
# They answer as they do of a run that never was.
FORGOTTEN = {f"{way} /{kind}/{{run_id}}/{end}" for kind in ("write", "code")
             for way, end in (("GET", "stream"), ("POST", "retry"))}  # fmt: skip


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


# What she has not: a talk, an older version of a draft, and a key that reads everybody's history.
WITHOUT = {row for row in NAMED if row.endswith(("/talk/stream", "/restore"))}
WITHOUT |= {row for row, kind in NAMED.items() if kind == "reader"}


class Person:
    """Whoever holds a key, from another machine; `things` are what stands in addresses."""

    def __init__(self, house: House, key: str) -> None:
        self._house = house
        self._headers = {"host": "192.168.1.10:8000", "x-api-key": key}
        self.things: dict[str, str] = {}

    async def ask(self, row: str, body: str = "", **headers: str) -> tuple[int, str]:
        """Status, and where it leads."""
        method, path = row.split(" ", 1)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = self._headers | {"content-length": str(len(body))} | named
        status, told = await self._house.ask(method, path, sent, ADDRESS, body)
        return status, told.get("location", "")

    async def move_in(self) -> None:
        """One of everything that has a name."""
        form = "multipart/form-data; boundary=a"
        made = {
            "conversation_id": await self.ask("POST /chat", "prompt=hello"),
            "attachment_id": await self.ask("POST /attachments", UPLOAD, content_type=form),
            "assistant_id": await self.ask("POST /assistants", "kind=chat&name=hers"),
            "write": await self.ask("POST /write/drafts", "text=hers"),
            "code": await self.ask("POST /code/drafts", "text=hers"),
            "write run": await self.ask("POST /write", "task=polish&text=hers"),
            "code run": await self.ask("POST /code", "task=explain&text=hers"),
        }
        self.things = {name: re.split(r"[/=]", place)[-1] for name, (_, place) in made.items()}
        await self.ask("POST /generate", PROMPT)
        self.things |= await self._written()

    async def _written(self) -> dict[str, str]:
        """Names that only the ledger tells: of the answer in the chat, and of a request."""
        await self.ask("GET /history")  # which waits for all that is to be written

        def names(session: object) -> dict[str, str]:
            answers = select(ConversationMessage).where(ConversationMessage.role == "assistant")
            asked = select(RequestRecord).where(RequestRecord.path == "/generate")
            message, request = session.exec(answers).one(), session.exec(asked).one()  # type: ignore[attr-defined]
            return {"message_id": message.id, "request_id": request.id, "other_id": request.id}

        return await self._house.database.read(names)


def addressed(row: str, things: dict[str, str]) -> str:
    """The row's own address of these things. A draft or a run is of a text or of a program."""
    kind = row.split("/")[1]
    own = {"draft_id": things.get(kind, ""), "run_id": things.get(f"{kind} run", "")}
    return re.sub(r"\{(\w+)[^}]*\}", lambda match: (things | own).get(match[1], "json"), row)


async def test_nobody_reads_or_changes_what_is_another_keys(house: House) -> None:
    hers, his = [(await house.keys.create(name))[1] for name in ("anna", "ben")]
    anna, ben = Person(house, hers), Person(house, his)
    await anna.move_in()
    rows = [row for row in NAMED if row not in LEAD_ON | FORGOTTEN | {MODELS}]
    for row in rows:
        status, place = await ben.ask(addressed(row, anna.things), FORMS.get(row, ""))
        assert status in (403, 404) or place == "/assistants", f"{row}: {status} {place}"
    for row in LEAD_ON:
        _, place = await ben.ask(addressed(row, anna.things))
        assert (await ben.ask(f"GET {place}"))[0] in (303, 404), row
    nothing = {"write run": "01JUNK", "code run": "01JUNK"}
    for row in FORGOTTEN:
        never = await ben.ask(addressed(row, nothing))
        assert await ben.ask(addressed(row, anna.things)) == never, row

    # The same addresses are good ones: they open to her, and nothing is gone or changed.
    unknown = []
    for row in sorted(rows, key=lambda row: "delete" in row):
        status, _ = await anna.ask(addressed(row, anna.things), FORMS.get(row, ""))
        unknown += [row] if status in (403, 404) else []
    assert set(unknown) == WITHOUT
