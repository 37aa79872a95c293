"""What really goes over the wire, as the server counts it (pg_stat_statements)."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

# Left out: what the bench asks itself, and the server's own checks of foreign keys, which never cross the wire.
COUNT = """
SELECT coalesce(sum(calls), 0)::bigint,
       coalesce(sum(calls) FILTER (WHERE query LIKE '%INSERT INTO messaging_content%'), 0)::bigint
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND query NOT LIKE '%pg_stat_statements%' AND query <> 'SELECT count(*) FROM messaging_message'
  AND query NOT LIKE 'SELECT 1 FROM ONLY %FOR KEY SHARE OF x'
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """Calls since the last reset."""

    all: int
    accepts: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.all + other.all, self.accepts + other.accepts)


def prepare(connection: psycopg.Connection) -> bool:
    """Whether statements can be counted on this server."""
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("SELECT pg_stat_statements_reset()")
    except psycopg.Error:  # binaries without the contrib modules, or not loaded at the start
        return False
    return True


def reset(connection: psycopg.Connection) -> None:
    connection.execute("SELECT pg_stat_statements_reset()")


def count(connection: psycopg.Connection) -> Counted:
    row = connection.execute(COUNT).fetchone()
    assert row is not None
    return Counted(*row)
