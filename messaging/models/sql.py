"""Hand-written SQL over Django's own connection: words in, typed rows out, one round trip per statement (ADR 7).

    DUE = sql("SELECT message.id, message.state FROM messaging_message message "
              "WHERE message.state IN {MessageState.ACCEPTED, RETRYING}")

    @dataclass(frozen=True, slots=True)
    class DueMessage:
        id: UUID
        state: int

    rows = fetch(DUE, row=DueMessage)   # list[DueMessage]

Numbers stand in the statement itself, since partial indexes are used for literals only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any, Final, TypeVar, cast

import psycopg
from django.db import connection as database
from psycopg.types.json import JsonbLoader

from messaging.rules import values
from vendors import values as vendor_values

Row = TypeVar("Row")
Params = Mapping[str, Any]

# Conditions that many statements share. Each is about one row, under the name of its table.
SHARED: Final = {
    "queue_runs": "queue.paused_at IS NULL AND queue.open_until <= clock_timestamp()",
    "queue_is_held": "(queue.paused_at IS NOT NULL OR queue.open_until > clock_timestamp())",
    "message_is_open": "message.state < {MessageState.DELIVERED}",
    "message_is_final": "message.state >= {MessageState.DELIVERED}",
    # The same as LockedAttempt.may_arrive.
    "attempt_may_arrive": "coalesce(attempt.outcome, {Outcome.UNKNOWN}) IN {Outcome.UNKNOWN, TAKEN}"
    " AND coalesce(attempt.status, '') NOT IN {Status.UNDELIVERED, EXPIRED, REJECTED}",
}

_WORD = re.compile(r"\{(?:(?P<enum>[A-Z]\w+)\.(?P<members>[A-Z_]+(?:,\s*[A-Z_]+)*)|(?P<part>[a-z_]+))\}")


def sql(text: str, **parts: str) -> str:
    """The statement with its words rendered: `{MessageState.SENT}` is a number (or a quoted word), several members a
    list in brackets, `{queue_runs}` one of SHARED, `{other}` one of `parts`. The enums stand in messaging.rules.values
    and vendors.values.

    Raises LookupError for a word that nobody knows, when the module is imported.
    """
    shared = SHARED | parts

    def render(match: re.Match[str]) -> str:
        if part := match["part"]:
            return sql(shared[part], **parts)
        members = getattr(values, match["enum"], None) or getattr(vendor_values, match["enum"], None)
        if members is None:
            raise LookupError(f"{match[0]}: neither messaging.rules.values nor vendors.values has it")
        found = [_literal(members[name.strip()]) for name in match["members"].split(",")]
        return found[0] if len(found) == 1 else f"({', '.join(found)})"

    return _WORD.sub(render, text)


def _literal(member: IntEnum | StrEnum) -> str:
    return str(int(member)) if isinstance(member, int) else f"'{member}'"


def fetch(statement: str, params: Params | None = None, *, row: type[Row]) -> list[Row]:
    """The statement's rows, each as a `row`: a dataclass with exactly the columns' names.

    Takes part in the surrounding `atomic` block, if there is one. Raises django.db errors, as the ORM would, and
    TypeError when columns and fields differ.
    """
    with database.wrap_database_errors, psycopg.Cursor(_driver(), row_factory=_rows_of(row)) as cursor:
        cursor.adapters.register_loader("jsonb", JsonbLoader)  # Django's connections leave jsonb a text
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def fetch_one(statement: str, params: Params | None = None, *, row: type[Row]) -> Row | None:
    """The first of the statement's rows; None when there is none."""
    rows = fetch(statement, params, row=row)
    return rows[0] if rows else None


def column(statement: str, params: Params | None = None, *, of: type[Row]) -> list[Row]:
    """The values of a statement that has one column."""
    with database.wrap_database_errors, psycopg.Cursor(_driver()) as cursor:
        cursor.execute(statement, params)
        return [value for (value,) in cursor.fetchall()]


def change(statement: str, params: Params | None = None) -> int:
    """The number of rows that a statement touched."""
    with database.wrap_database_errors, psycopg.Cursor(_driver()) as cursor:
        cursor.execute(statement, params)
        return cursor.rowcount


def _rows_of(kind: type[Row]) -> Callable[[psycopg.Cursor[Any]], Callable[[Sequence[Any]], Row]]:
    """Like psycopg's class_row; it names what does not fit, and calls by position where the order is the same."""
    fields = [field.name for field in dataclasses.fields(cast("Any", kind))]

    def factory(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
        names = [found.name for found in cursor.description or ()]
        if names == fields:
            return lambda values: kind(*values)
        if names and set(names) != set(fields):
            raise TypeError(f"{kind.__name__} has {sorted(fields)}, the statement {sorted(names)}")
        return lambda values: kind(**dict(zip(names, values, strict=True)))

    return factory


def _driver() -> psycopg.Connection[Any]:
    """The driver's connection below Django's; making a Django cursor for it would cost as much as the statement."""
    database.ensure_connection()
    database.validate_no_broken_transaction()
    driver: psycopg.Connection[Any] | None = database.connection
    assert driver is not None
    return driver
