"""Statements: words become literals, rows become what is said, and what does not fit is named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from messaging.models import sql as module
from messaging.models.sql import change, column, fetch, fetch_one, sql


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        pytest.param("state = {MessageState.SENT}", "state = 4", id="one"),
        pytest.param("state IN {MessageState.ACCEPTED, RETRYING}", "state IN (0, 2)", id="several"),
        pytest.param("effect = {Effect.UNMATCHED}", "effect = 'unmatched'", id="a word stays a word"),
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
