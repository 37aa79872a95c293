"""Statements: words become literals, rows become what is said, and what does not fit is named."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import pytest

from messaging.evidence.locking import LockedAttempt
from messaging.models import sql as module
from messaging.models.sql import change, column, fetch, fetch_one, sql
from messaging.rules.values import MessageState
from vendors.values import Outcome, Status


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        pytest.param("state = {MessageState.SENT}", "state = 4", id="one"),
        pytest.param("state IN {MessageState.ACCEPTED, RETRYING}", "state IN (0, 2)", id="several"),
        pytest.param("effect = {Effect.UNMATCHED}", "effect = 'unmatched'", id="a word stays a word"),
        pytest.param("status = {Status.EXPIRED}", "status = 'expired'", id="a vendor's word"),
        pytest.param("state IN {EventState.DUE,\n  LEASED}", "state IN (0, 1)", id="over two lines"),
        pytest.param("a = '{}' AND b = '{1,2}'", "a = '{}' AND b = '{1,2}'", id="arrays are left alone"),
        pytest.param("%(a)s::jsonb -> '{a}' {here}", "%(a)s::jsonb -> 'x' y", id="parts"),
        pytest.param("{outer}", "state = 4", id="parts hold words"),
    ],
)
def test_words(text: str, rendered: str) -> None:
    assert sql(text, a="x", here="y", outer="state = {MessageState.SENT}") == rendered


@pytest.mark.parametrize("text", ["{Colour.RED}", "{MessageState.LOST}", "{nothing}"])
def test_an_unknown_word_is_found_at_import(text: str) -> None:
    with pytest.raises(LookupError):
        sql(text)


def test_what_is_said_once_is_known_everywhere() -> None:
    assert sql("WHERE {queue_runs}") == f"WHERE {module.SHARED['queue_runs']}"


MAY_ARRIVE = sql("""
SELECT attempt.outcome, attempt.status, {attempt_may_arrive} AS may_arrive
FROM unnest(%(outcomes)s::text[]) AS outcomes(outcome), unnest(%(statuses)s::text[]) AS statuses(status),
     LATERAL (SELECT outcome, status) attempt
""")

IS_FINAL = sql("""
SELECT message.state, {message_is_final} AS is_final, {message_is_open} AS is_open
FROM unnest(%(states)s::int2[]) AS message(state)
""")

IS_HELD = sql("""
SELECT {queue_runs} AS runs, {queue_is_held} AS is_held
FROM (VALUES (NULL::timestamptz), (clock_timestamp())) AS paused(paused_at),
     (VALUES (timestamptz '2000-01-01 00:00+00'), (clock_timestamp() + interval '1 hour')) AS opened(open_until),
     LATERAL (SELECT paused.paused_at, opened.open_until) queue
ORDER BY queue.paused_at NULLS FIRST, queue.open_until
""")


@dataclass(frozen=True, slots=True)
class Arrival:
    outcome: str | None
    status: str | None
    may_arrive: bool


@dataclass(frozen=True, slots=True)
class Finality:
    state: int
    is_final: bool
    is_open: bool


@dataclass(frozen=True, slots=True)
class Running:
    runs: bool
    is_held: bool


@pytest.mark.django_db
def test_an_attempt_may_arrive_in_sql_as_in_python() -> None:
    outcomes, statuses = [None, *Outcome], [None, *Status]
    rows = fetch(MAY_ARRIVE, {"outcomes": outcomes, "statuses": statuses}, row=Arrival)
    assert {(row.outcome, row.status): row.may_arrive for row in rows} == {
        (outcome, status): LockedAttempt(
            uuid4(), 1, "sms", outcome, status, segments=1, code="", account_id=1
        ).may_arrive
        for outcome in outcomes
        for status in statuses
    }


@pytest.mark.django_db
def test_a_state_is_final_in_sql_as_in_python() -> None:
    rows = fetch(IS_FINAL, {"states": [int(state) for state in MessageState]}, row=Finality)
    assert rows == [Finality(state, state.is_final, not state.is_final) for state in MessageState]


@pytest.mark.django_db
def test_a_queue_runs_or_is_held() -> None:
    assert fetch(IS_HELD, row=Running) == [Running(True, False), *[Running(False, True)] * 3]


@dataclass(frozen=True, slots=True)
class Pair:
    a: int
    b: str


@pytest.mark.django_db
def test_rows() -> None:
    assert fetch("SELECT 1 AS a, 'x' AS b", row=Pair) == [Pair(1, "x")]
    assert fetch("SELECT 'x' AS b, %(a)s AS a", {"a": 2}, row=Pair) == [Pair(2, "x")]
    assert fetch_one("SELECT 1 AS a, 'x' AS b WHERE false", row=Pair) is None
    assert column("SELECT n FROM generate_series(1, 3) n", of=int) == [1, 2, 3]
    assert change("UPDATE accounts_tenant SET name = name WHERE false") == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement", ["SELECT 1 AS a", "SELECT 1 AS a, 'x' AS b, 3 AS c", "SELECT 1 AS a, 2 AS c"]
)
def test_columns_that_are_not_the_fields_are_named(statement: str) -> None:
    with pytest.raises(TypeError, match=r"Pair has \['a', 'b'\], the statement"):
        fetch(statement, row=Pair)
