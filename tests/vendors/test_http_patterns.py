"""Places, conditions and tables of the generic adapter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vendors.http_patterns import (
    MAX_PATH,
    MAX_PATTERN,
    Body,
    PatternError,
    check_condition,
    check_place,
    find,
    holds,
    meaning_of,
    statuses,
    table,
)

SAID = {
    "a": {"b": [{"id": 7}, {"id": "x"}]},
    "a.b": "flat",
    "yes": True,
    "no": False,
    "none": None,
    "empty": "",
}
BODY = Body.of(json.dumps(SAID).encode())
TEXT = Body.of(b'Success "m-1"\n')


@pytest.mark.parametrize(
    ("place", "body", "found"),
    [
        pytest.param("a.b.0.id", BODY, "7", id="a path through a list"),
        pytest.param("a.b", BODY, "flat", id="a name with a dot comes first"),
        pytest.param("yes", BODY, "true", id="a boolean"),
        pytest.param("a.b.5.id", BODY, "", id="past the end"),
        pytest.param("a.b.-1.id", BODY, "", id="from the end"),
        pytest.param("a.b.999999.id", BODY, "", id="far past the end"),
        pytest.param("a.c.d", BODY, "", id="nowhere"),
        pytest.param("yes.no", BODY, "", id="into a value"),
        pytest.param("a", BODY, "", id="no plain value"),
        pytest.param("", BODY, "", id="no place"),
        pytest.param('re:^Success "([^"]+)"', TEXT, "m-1", id="a group"),
        pytest.param("re:Success|Error", TEXT, "Success", id="no group"),
        pytest.param("re:(x)?Success", TEXT, "", id="a group without part"),
        pytest.param("re:Error", TEXT, "", id="no match"),
        pytest.param("id", TEXT, "", id="a path into plain text"),
    ],
)
def test_places(place: str, body: Body, found: str) -> None:
    check_place(place)
    assert find(place, body) == found


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a.b.0.id", True), ("no", False), ("none", False), ("empty", False), ("nowhere", False), ("", False),
        ("no=false", True), ("yes = TRUE", True), ("a.b.1.id=x", True), ("a.b.0.id=8", False), ("empty=", True),
        ("nowhere=", False), ("re:flat", True), ("re:sharp", False),
    ],
)  # fmt: skip
def test_conditions(condition: str, expected: bool) -> None:
    check_condition(condition)
    assert holds(condition, BODY) is expected


@pytest.mark.parametrize(
    "place",
    [
        "two words",
        "re:",
        "re:(",
        "re:" + "x" * (MAX_PATTERN + 1),
        "a" * (MAX_PATH + 1),
    ],
)
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(PatternError):
        check_place(place)


def test_tables() -> None:
    text = "ok = delivered\r\n\nESME_* = rejected\nESME_ROK = sent\nA=B = expired\n* = undelivered"
    words = {
        "OK": "delivered",
        "ESME_ROK": "sent",
        "esme_rany": "rejected",
        "a=b": "expired",
        "other": "",
        "*": "undelivered",
    }
    assert {word: meaning_of(word, text) for word in words} == words


@pytest.mark.parametrize("text", ["ok", "= sent", "ok =", "ok = sent\nOK = expired"])
def test_tables_that_are_none(text: str) -> None:
    with pytest.raises(PatternError):
        table(text)


@pytest.mark.parametrize(("text", "expected"), [("200", {200}), ("200-202, 409", {200, 201, 202, 409})])
def test_statuses(text: str, expected: Any) -> None:
    assert statuses(text) == expected


@pytest.mark.parametrize("text", ["", "2xx", "200-", "600", "202-200", "200;201"])
def test_statuses_that_are_none(text: str) -> None:
    with pytest.raises(PatternError):
        statuses(text)
