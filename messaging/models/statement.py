"""Hand-written SQL over Django's own connection: one round trip per statement, prepared on the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection as database
from psycopg.rows import namedtuple_row
from psycopg.types.json import JsonbLoader


def fetch(statement: str, params: Mapping[str, Any] | None = None) -> list[Any]:
    """Rows of a statement as named tuples. Takes part in the surrounding `atomic` block, if there is one.

    Raises django.db errors, as the ORM would.
    """
    with database.wrap_database_errors, psycopg.Cursor(_raw(), row_factory=namedtuple_row) as cursor:
        cursor.adapters.register_loader("jsonb", JsonbLoader)  # Django's connections leave jsonb a text
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def change(statement: str, params: Mapping[str, Any] | None = None) -> int:
    """The number of rows that a statement touched."""
    with database.wrap_database_errors, psycopg.Cursor(_raw()) as cursor:
        cursor.execute(statement, params)
        return cursor.rowcount


def _raw() -> psycopg.Connection[Any]:
    """The driver's connection below Django's; making a Django cursor for it would cost as much as the statement."""
    database.ensure_connection()
    database.validate_no_broken_transaction()
    raw: psycopg.Connection[Any] | None = database.connection
    assert raw is not None
    return raw
