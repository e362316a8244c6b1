"""The beginning of what was asked, cut by the database.

An input may be megabytes of JSON; a list of requests needs a line of it. Finding the last
message of a JSON array is spelt differently by each database, hence a construct of our own.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

EXCERPT_CHARACTERS = 280


class last_message(GenericFunction[str]):  # noqa: N801 - named as it reads in SQL
    """Of a JSON column: the last message's content when it holds messages, else its text."""

    type = Text()
    inherit_cache = True


@compiles(last_message, "sqlite")
def _on_sqlite(element: last_message, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return (
        f"CASE json_type({column}) WHEN 'array' "
        f"THEN json_extract({column}, '$[#-1].content') ELSE json_extract({column}, '$') END"
    )


@compiles(last_message, "postgresql")
def _on_postgresql(element: last_message, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return (
        f"CASE json_typeof({column}) WHEN 'array' "
        f"THEN {column} -> -1 ->> 'content' ELSE {column} #>> '{{}}' END"
    )


class one_message(GenericFunction[str]):  # noqa: N801 - named as it reads in SQL
    """Of a JSON column that holds one message, or a raw prompt: its text."""

    type = Text()
    inherit_cache = True


@compiles(one_message, "sqlite")
def _message_on_sqlite(element: one_message, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return (
        f"CASE json_type({column}) WHEN 'object' "
        f"THEN json_extract({column}, '$.content') ELSE json_extract({column}, '$') END"
    )


@compiles(one_message, "postgresql")
def _message_on_postgresql(element: one_message, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return (
        f"CASE json_typeof({column}) WHEN 'object' "
        f"THEN {column} ->> 'content' ELSE {column} #>> '{{}}' END"
    )


def excerpt(text: object) -> ColumnElement[str]:
    """The first `EXCERPT_CHARACTERS` characters of `text`."""
    return func.substr(text, 1, EXCERPT_CHARACTERS, type_=Text())
