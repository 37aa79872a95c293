"""Weekly partitions of the wide, append-only tables. A DEFAULT partition catches what nobody prepared for."""

from __future__ import annotations

from datetime import date, timedelta

TABLES = {
    "messaging_content": "created_at",
    "messaging_exchange": "at",
}  # and the column that they are cut by
AHEAD = 2  # weeks prepared besides the current one


def weeks(today: date, *, ahead: int = AHEAD) -> list[date]:
    """The Mondays of this week and of those to come."""
    monday = today - timedelta(days=today.weekday())
    return [monday + timedelta(weeks=n) for n in range(ahead + 1)]


def create(table: str, monday: date) -> str:
    """SQL that makes one week's partition when it is missing. Fails while the DEFAULT one holds rows of that week."""
    return f"CREATE TABLE IF NOT EXISTS {_name(table, monday)} PARTITION OF {table} {_bounds(monday)}"


def rescue(table: str, monday: date) -> list[str]:
    """SQL, for one transaction, that makes the partition of rows that the DEFAULT one had to catch."""
    name, column = _name(table, monday), TABLES[table]
    week = f"{column} >= '{monday} 00:00+00' AND {column} < '{monday + timedelta(weeks=1)} 00:00+00'"
    return [
        f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
        # Our own names and dates, no input.
        f"WITH moved AS (DELETE FROM {table}_default WHERE {week} RETURNING *) INSERT INTO {name} SELECT * FROM moved",  # noqa: S608
        f"ALTER TABLE {table} ATTACH PARTITION {name} {_bounds(monday)}",
    ]


def _name(table: str, monday: date) -> str:
    return f"{table}_{monday:%Y_%m_%d}"


def _bounds(monday: date) -> str:
    return f"FOR VALUES FROM ('{monday} 00:00+00') TO ('{monday + timedelta(weeks=1)} 00:00+00')"
