"""The comparison: floor and API in turn, round by round, so that both meet the same weather."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import psycopg

from bench import load, statements
from bench.generator import Measured
from bench.load import LoadTarget
from bench.servers import Server
from bench.statements import Counted

SETTLE = 0.25  # seconds without a new row after which a round is over
WARM_UP = 1.0  # seconds, not counted: connections, plans, caches of two seconds
GOAL = 0.5  # of the floor's rate (the project's promise)
ROWS = "SELECT count(*) FROM messaging_message"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    name: str
    server: Server
    target: LoadTarget


@dataclass(slots=True)
class Results:
    """One side's rounds. `lost` are answers of 200 for which there is no row, and failures while warming up."""

    rounds: list[Measured] = field(default_factory=list)
    rows: int = 0  # messages made
    cpu_ms: list[float] = field(default_factory=list)  # of the server's processes, per request
    lost: int = 0
    counted: Counted = field(default_factory=lambda: Counted(0, 0))

    @property
    def errors(self) -> int:
        return sum(measured.errors for measured in self.rounds) + self.lost

    @property
    def rate(self) -> float:
        """The median round's answers per second."""
        return median(measured.rate for measured in self.rounds)

    @property
    def p99_ms(self) -> float:
        return median(measured.p99_ms for measured in self.rounds)


def compare(
    floor: Side, api: Side, *, rounds: int, seconds: float, database: psycopg.Connection, say: Say
) -> dict[str, Results]:
    """Warms both up, then measures them in turn. Raises load.LoadFailed, OSError."""
    results = {side.name: Results() for side in (floor, api)}
    for side in (floor, api):
        warm = load.run(side.target, seconds=WARM_UP, prefix=f"{side.name}-warm")
        results[side.name].lost += warm.errors
    for n in range(1, rounds + 1):
        for side in (floor, api):
            measure(side, results[side.name], n=n, seconds=seconds, database=database)
            say(_line(n, side.name, results[side.name]))
    return results


def measure(side: Side, results: Results, *, n: int, seconds: float, database: psycopg.Connection) -> None:
    """One round of one side."""
    before, used = _settled(database), side.server.cpu_seconds()
    statements.reset(database)
    measured = load.run(side.target, seconds=seconds, prefix=f"{side.name}-{n}")
    made = _settled(database) - before
    results.counted += statements.count(database)
    results.rounds.append(measured)
    results.rows += made
    spent = side.server.cpu_seconds()
    if used is not None and spent is not None and made:
        results.cpu_ms.append((spent - used) * 1000 / made)
    results.lost += without_row(measured, made)


def without_row(measured: Measured, made: int) -> int:
    """Answers of 200 for which there is no row: that each request made a message of its own is part of the claim.

    Requests that were cut off at the end may have made a few more.
    """
    return max(0, measured.requests - measured.errors - made)


def _settled(database: psycopg.Connection) -> int:
    """The number of messages, once requests that were cut off have ended too."""
    before, now = -1, _rows(database)
    while before != now:
        time.sleep(SETTLE)
        before, now = now, _rows(database)
    return now


def _rows(database: psycopg.Connection) -> int:
    row = database.execute(ROWS).fetchone()
    assert row is not None
    return int(row[0])


def _line(n: int, name: str, results: Results) -> str:
    last = results.rounds[-1]
    cpu = f"   cpu {results.cpu_ms[-1]:.2f} ms/request" if results.cpu_ms else ""
    wrong = f"   ERRORS {last.errors}" if last.errors else ""
    return (
        f"  round {n}  {name:<6}{last.rate:8.0f} requests/s   p50 {last.p50_ms:6.1f} ms"
        f"   p99 {last.p99_ms:6.1f} ms{cpu}{wrong}"
    )
