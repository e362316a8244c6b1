"""A text and the part of it that is to be worked on. Offsets count characters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.errors import InvalidRequest

SURROUNDINGS = 1500  # characters shown to the model on either side of the part


@dataclass(frozen=True, slots=True)
class Passage:
    """`text[start:end]` is worked on; all of it where nothing was chosen."""

    text: str
    start: int
    end: int

    @property
    def part(self) -> str:
        return self.text[self.start : self.end]

    @property
    def whole(self) -> bool:
        return not (self.text[: self.start].strip() or self.text[self.end :].strip())

    @property
    def before(self) -> str:
        return self.text[: self.start]

    @property
    def after(self) -> str:
        return self.text[self.end :]

    @property
    def near_before(self) -> str:
        """As much before the part as helps to fit it in, from the beginning of a word on."""
        near = self.before[-SURROUNDINGS:]
        cut = near if near == self.before else re.sub(r"\A\S*\s", "", near, count=1)
        return cut.strip("\n")

    @property
    def near_after(self) -> str:
        near = self.after[:SURROUNDINGS]
        return (near if near == self.after else re.sub(r"\s\S*\Z", "", near)).strip("\n")

    def with_part(self, part: str) -> str:
        """The whole text with another part in the place of this one."""
        return self.before + part + self.after


def choose(text: str, *, start: str = "", end: str = "", quoted: str = "") -> Passage:
    """The part from `start` to `end` (as a form sends them), or the one that is `quoted`.

    Raises InvalidRequest for the field `passage` when what is quoted does not stand in the text
    exactly once.
    """
    if start.isdecimal() and end.isdecimal():
        first, last = int(start), int(end)
        if first < last <= len(text) and text[first:last].strip():
            return Passage(text, first, last)
    quoted = normal(quoted).strip()
    if not quoted:
        return Passage(text, 0, len(text))
    count = text.count(quoted)
    if count == 0:
        raise InvalidRequest(
            "This passage does not stand in the text. Copy it from there.", param="passage"
        )
    if count > 1:
        raise InvalidRequest(
            "This passage stands %(count)s times in the text. Take in more of what is around it.",
            param="passage", count=count,
        )  # fmt: skip
    place = text.index(quoted)
    return Passage(text, place, place + len(quoted))


def normal(text: str) -> str:
    """A text as it is in the editor, with the line ends that a form changes put right."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
