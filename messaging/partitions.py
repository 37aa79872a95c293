"""Weekly partitions of the wide, append-only tables. A DEFAULT partition catches what nobody prepared for."""

from __future__ import annotations

from datetime import date, timedelta

TABLES = ("messaging_content", "messaging_raw")
AHEAD = 2  # weeks prepared besides the current one


def weeks(today: date, *, ahead: int = AHEAD) -> list[date]:
    """The Mondays of this week and of those to come."""
    monday = today - timedelta(days=today.weekday())
    return [monday + timedelta(weeks=n) for n in range(ahead + 1)]


def create(table: str, monday: date) -> str:
    """SQL that makes one week's partition when it is missing."""
    name = f"{table}_{monday:%Y_%m_%d}"
    end = monday + timedelta(weeks=1)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} "
        f"FOR VALUES FROM ('{monday} 00:00+00') TO ('{end} 00:00+00')"
    )
