"""Tool calls as servers stream them, in one form: an index of our own, one id, growing arguments.

Knows the habits of servers: calls whole in one piece, no index or the same one for every call,
no id, an id repeated with each piece, arguments as an object.
"""

from __future__ import annotations

import uuid
from typing import Any

from pydantic_core import to_json

from appliance.domain import ToolCallDelta


class CallsReader:
    """The calls of one choice."""

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._ids: list[str] = []
        self._ours: dict[object, int] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def read(self, piece: dict[str, Any]) -> ToolCallDelta:
        """Raises TypeError, ValueError or AttributeError for what is not a piece of a call."""
        function = piece.get("function") or {}
        name, arguments = function.get("name") or None, function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = to_json(arguments).decode()
        if name is not None and not isinstance(name, str):
            raise TypeError("the name of a tool is not a text")
        index, new = self._place(piece.get("index"), piece.get("id") or None, name)
        if not new:
            return ToolCallDelta(index, arguments=arguments, choice=self._choice)
        return ToolCallDelta(index, self._ids[index], name, arguments, self._choice)

    def _place(self, theirs: object, call_id: object, name: str | None) -> tuple[int, bool]:
        """Our index for a piece, and whether it is the first piece of its call."""
        known = self._ours.get(theirs) if theirs is not None else len(self._ids) - 1
        if known is not None and known >= 0:
            same = call_id == self._ids[known] if call_id else name is None
            if same:
                return known, False
        if name is None:
            raise ValueError("a tool call without a name")
        self._ids.append(str(call_id or f"call_{uuid.uuid4().hex[:24]}"))
        self._ours[theirs] = len(self._ids) - 1
        return len(self._ids) - 1, True
