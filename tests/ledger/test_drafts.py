"""Drafts keep every version, and nobody reaches somebody else's."""

from __future__ import annotations

import pytest

from appliance.errors import NotFound
from appliance.ledger.drafts import Drafts
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture
def drafts(ledger: Ledger) -> Drafts:
    return Drafts(ledger.database, ledger.writer)


async def test_versions_are_kept_and_the_same_text_is_one(drafts: Drafts) -> None:
    first = await drafts.save("anna", "write", "\n# My letter \nDear sea")
    again = await drafts.save("anna", "write", first.text, draft_id=first.draft_id)
    second = await drafts.save("anna", "write", "Shorter", draft_id=first.draft_id, task="shorten")
    assert again.id == first.id
    found = await drafts.get("anna", "write", first.draft_id)
    assert [(one.task, one.length) for one in found.versions] == [("shorten", 7), ("", 22)]
    assert (found.open.text, found.newest) == ("Shorter", True)
    old = await drafts.get("anna", "write", first.draft_id, first.id)
    assert (old.open.text, old.newest) == (first.text, False)
    (row,) = await drafts.recent("anna", "write")
    assert row.title == "Shorter"
    assert second.draft_id == row.id


async def test_nobody_reaches_anothers_draft_or_another_pages(drafts: Drafts) -> None:
    mine = await drafts.save("anna", "write", "private")
    other = await drafts.save("anna", "write", "another")
    for owner, kind in (("bob", "write"), ("anna", "code")):
        assert await drafts.recent(owner, kind) == ()
        with pytest.raises(NotFound):
            await drafts.get(owner, kind, mine.draft_id)
        with pytest.raises(NotFound):
            await drafts.save(owner, kind, "mine now", draft_id=mine.draft_id)
        with pytest.raises(NotFound):
            await drafts.delete(owner, kind, mine.draft_id)
    with pytest.raises(NotFound):
        await drafts.get("anna", "write", mine.draft_id, other.id)


async def test_a_deleted_draft_takes_its_versions_along(drafts: Drafts) -> None:
    made = await drafts.save("anna", "code", "print(1)", language="Python")
    await drafts.delete("anna", "code", made.draft_id)
    assert await drafts.recent("anna", "code") == ()
    with pytest.raises(NotFound):
        await drafts.get("anna", "code", made.draft_id)


async def test_only_so_many_versions_are_kept(
    drafts: Drafts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.ledger.drafts.VERSIONS_KEPT", 3)
    made = await drafts.save("anna", "write", "0")
    for number in range(1, 6):
        await drafts.save("anna", "write", str(number), draft_id=made.draft_id)
    found = await drafts.get("anna", "write", made.draft_id)
    assert len(found.versions) == 3
    assert found.open.text == "5"
